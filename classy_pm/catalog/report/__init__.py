"""A catalogue as a folder of pages: a table of all fits, and a page a fit; they need no network."""

from classy_pm.catalog.report.site import Site, write_report

__all__ = ["Site", "write_report"]
