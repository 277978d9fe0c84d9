"""NumPy's functions on traced arrays: value, dtype, shape and gradient as on plain ones."""

import numpy as np
import pytest
from trace_checking import check

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(0.2, 0.9, size=(3, 4))
M = RANDOM.normal(size=(4, 4))
C = RANDOM.normal(size=(4, 4))

# Expressions of a traced matrix `a` with entries between 0.2 and 0.9; `x` is the same matrix, plain.
REDUCTIONS = [
    "sum(a)",
    "sum(a[0])",
    "np.sum(a)",
    "np.sum(a,axis=0)",
    "a.sum(axis=1,keepdims=True)",
    "a.mean()",
    "np.mean(a,axis=(0,1))",
    "a.std()",
    "np.std(a,axis=1,ddof=1)",
    "a.var(axis=0)",
    "np.prod(a)",
    "a.min()",
    "a.max(axis=1)",
    "np.max(a,axis=0,initial=.5)",
    "np.cumsum(a)",
    "np.cumsum(a,axis=1)",
    "np.cumprod(a,axis=0)",
    "np.any(a>.5)",
    "np.all(a>.5,axis=0)",
    "np.argmax(a)",
    "a.argmin(axis=1)",
    "np.ptp(a)",
    "np.average(a,weights=np.arange(4.),axis=1)",
    "np.nansum(a)",
    "np.nanmean(np.where(a>.6,np.nan,a))",
    "np.count_nonzero(a>.5)",
    "np.sum(a,where=a>.5)",
    "np.mean(a,where=a>.5)",
    "np.add.reduce(a)",
    "np.multiply.reduce(a,axis=1)",
    "np.maximum.accumulate(a,axis=1)",
    "np.logaddexp.reduce(a,axis=1)",
    "np.add.accumulate(a)",
    "np.subtract.outer(a,a[0])",
    "np.hypot.reduce(a)",
]
SHAPING = [
    "a.reshape(4,3)",
    "a.reshape(-1)",
    "np.reshape(a,(2,6),order='F')",
    "a.T",
    "np.transpose(a,(1,0))",
    "a.ravel()",
    "a.ravel('F')",
    "a.flatten()",
    "np.squeeze(a[None])",
    "a[:,None]",
    "np.expand_dims(a,(0,2))",
    "np.swapaxes(a,0,1)",
    "np.moveaxis(a[None],0,2)",
    "np.rollaxis(a[None],2)",
    "np.broadcast_to(a,(2,3,4))",
    "np.broadcast_arrays(a,a[0])",
    "np.atleast_3d(a)",
    "np.atleast_1d(a[0,0])",
    "np.flip(a)",
    "np.flip(a,1)",
    "np.fliplr(a)",
    "np.rot90(a)",
    "np.tile(a,(2,1))",
    "np.repeat(a,2,axis=1)",
    "np.roll(a,1)",
    "np.roll(a,-2,axis=1)",
    "np.roll(a,(1,2),axis=(0,1))",
    "np.resize(a,(5,2))",
    "np.split(a,2,axis=1)",
    "np.array_split(a,3,axis=1)",
    "np.hsplit(a,2)",
    "np.vsplit(a,3)",
    "np.unstack(a)",
    "np.diagonal(a)",
    "np.delete(a,1,axis=0)",
    "np.compress([1,0,1],a,axis=0)",
]
JOINING = [
    "np.concatenate([a,a])",
    "np.concatenate([a,x],axis=1)",
    "np.concatenate([a,a[:1]],axis=None)",
    "np.stack([a,a],axis=-1)",
    "np.hstack([a,a])",
    "np.vstack([a[0],a])",
    "np.dstack([a,a])",
    "np.column_stack([a[0],a[1]])",
    "np.block([[a,a],[a,a]])",
    "np.append(a,1.0)",
    "np.insert(a,1,a[0],axis=0)",
    "np.insert(a,[0,2],[5.,6.])",
    "np.stack([a[0,0],2.0,1])",
]
INDEXING = [
    "a[1]",
    "a[-1,2]",
    "a[1:,::2]",
    "a[...,0]",
    "a[[0,2]]",
    "a[np.array([0,1]),np.array([1,3])]",
    "a[a_plain>.5]",
    "a[:,[True,False,True,True]]",
    "a[np.argmax(a[:,0])]",
    "a[None,...,1]",
]
SELECTING = [
    "np.where(a>.5,a,0)",
    "np.where(a>.5,np.log(a),x)",
    "np.where(x>.5,a,1)",
    "np.select([a>.7,a>.5],[a,a**2],default=-1)",
    "np.piecewise(a,[a<.5,a>=.5],[lambda t:t**2,lambda t:-t])",
    "np.clip(a,.3,.6)",
    "a.clip(min=.5)",
    "np.choose([0,1,0,1],[a[0],a[1]])",
    "np.nan_to_num(np.where(a>.5,np.nan,a))",
    "np.isclose(a,x)",
    "np.allclose(a,x)",
    "np.real(a)",
    "np.imag(a)",
    "np.angle(a)",
    "np.round(a,1)",
    "np.sinc(a)",
    "np.i0(a)",
    "np.array_equal(a,x)",
]
COMPLEX = [
    "a[0,0]*1j+a",
    "abs(a*1j+1)",
    "np.exp(1j*a)",
    "(a+1j*a)/(2-1j*a)",
    "np.sqrt(a-.5+0j)",
    "np.angle(a+1j)",
    "(a+1j)**2",
    "np.log(a*1j+1)",
    "np.real((a+1j)**(a*1j))",
    "np.conj(a*1j)",
    "sum(1j*a[0])",
    "np.prod(a+1j,axis=0)",
    "np.tanh(a+1j)",
    "np.abs(a-1j)**2",
]
CONVERSION = [
    "a.copy()",
    "a.astype(int)",
    "a.item(3)",
    "(lambda b: (b.fill(2.0), b)[1])(a.copy()) * a[0, 0]",
]
# Expressions of a traced square matrix `m`; `c` is plain.
PRODUCTS = [
    "m@m",
    "m@m[0]",
    "m[0]@m",
    "np.dot(m[0],m[1])",
    "np.dot(m,c)",
    "np.inner(m,c)",
    "np.outer(m[0],m[1])",
    "np.vdot(m,c)",
    "np.tensordot(m,c,axes=1)",
    "np.tensordot(m,c,axes=([0,1],[1,0]))",
    "np.einsum('ij,jk->ik',m,c)",
    "np.einsum('ij,ij',m,c)",
    "np.einsum('ii->i',m)",
    "np.einsum('i,j->ij',m[0],c[0])",
    "np.einsum('ij,ij->j',m,c)",
    "np.einsum('...j,j->...',m,c[0])",
    "np.einsum('ij,jk,kl',m,c,m)",
    "np.einsum('bij,bjk->bik',m[None]*c[:,None],np.stack([m]*4))",
    "np.kron(m[:2],c[:2])",
    "np.cross(m[:,:3],c[:,:3])",
    "np.trace(m)",
    "np.linalg.multi_dot([m,c,m])",
    "np.convolve(m[0],c[0])",
    "np.convolve(m[0],[1,2.],mode='same')",
    "np.convolve([1.,2,3,4,5,6],m[0],'valid')",
    "np.correlate(m[0],c[0],'full')",
    "np.correlate(m.ravel(),c[0],'same')",
    "np.correlate(m.ravel(),c[0])",
    "np.vecdot(m,c)",
    "np.matvec(m,c[0])",
    "np.vecmat(m[0],c)",
    "(1j*m+c)@m",
    "np.vecdot(1j*m+1,c)",
    "np.add.reduceat(m,[0,2],axis=0)",
    "m.dot(c)",
]
# Expressions of a traced square matrix `m`; `c` is plain.
ORDERING = [
    "np.take(m,[1,2],axis=1)",
    "np.take(m,5)",
    "np.take_along_axis(m,np.argsort(m,1),1)",
    "np.sort(m,axis=0)",
    "np.argsort(m)",
    "np.partition(m,2)",
    "np.lexsort((m[0],m[1]))",
    "np.searchsorted([-1.,0,1.],m)",
    "np.digitize(m,[-1.,0,1.])",
    "np.isin(m.astype(int),[0,1])",
    "np.bincount([0,1,1,2],m[0])",
    "np.unravel_index(np.argmax(m),(4,4))",
    "(lambda b:(b.sort(),b)[1])(m.copy())",
    "np.compress([1,0,1,0],m,axis=0)",
    "np.take(c,np.argmax(m),axis=None)",
]
# Expressions of a traced square matrix `m`; `c` is plain.
MAKING = [
    "np.diag(m)",
    "np.diag(m[0],1)",
    "np.tril(m)",
    "np.triu(m,1)",
    "np.vander(m[0],3)",
    "np.pad(m,1)",
    "np.pad(m,((1,2),(0,1)),mode='reflect')",
    "np.pad(m,1,mode='edge')",
    "np.pad(m,2,constant_values=3.)",
    "np.pad(m,(1,2),mode='linear_ramp',end_values=m[0,0])",
    "np.pad(m,1,mode='mean')",
    "np.linspace(m[0,0],3.,7)",
    "np.linspace(0,m[0],5)",
    "np.linspace(0,m[0,0],5,endpoint=False,retstep=True)",
    "np.logspace(0,m[0,0],4)",
    "np.geomspace(1.,m[0,0]**2,4)",
    "np.meshgrid(m[0],c[0])",
    "np.meshgrid(m[0],[1.,2],indexing='ij',sparse=True)",
    "np.full_like(c,m[0,0])",
    "np.ones_like(m)*m",
    "np.tri(4)*m",
    "np.ix_(np.argsort(m[0]),[0,1])",
    "np.diagflat(m[:2])",
    "(lambda b:(np.fill_diagonal(b,m[0]),b)[1])(m.copy())",
    "(lambda b:(np.put(b,[1,3],[9.,m[0,0]]),b)[1])(m.copy())",
    "(lambda b:(np.copyto(b,c,where=m>0),b)[1])(m.copy())",
    "(lambda b:(np.putmask(b,m>0,0),b)[1])(m.copy())",
    "(lambda b:(np.add.at(b,[0,0,1],m[:3]),b)[1])(m.copy())",
    "(lambda b:(np.put_along_axis(b,np.argmax(c,axis=1,keepdims=True),99.,1),b)[1])(m.copy())",
]


def evaluated(argument, expression):
    # the names are globals of the compiled function, as they are in a user's module
    names = {"np": np, "x": X.copy(), "a_plain": X.copy(), "c": C.copy()}
    return eval(f"lambda {argument}: {expression}", names)


@pytest.mark.parametrize(
    "expression", REDUCTIONS + SHAPING + JOINING + INDEXING + SELECTING + COMPLEX + CONVERSION
)
def test_expression_of_a_matrix_equals_numpy(expression):
    check(evaluated("a", expression), X)


@pytest.mark.parametrize("expression", PRODUCTS + ORDERING + MAKING)
def test_expression_of_a_square_matrix_equals_numpy(expression):
    check(evaluated("m", expression), M)
