"""Downloads, archives and foreign layouts: what several sources share."""
