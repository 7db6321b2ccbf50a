"""Tables -> pictures: the page report.html, and each of its figures alone."""
