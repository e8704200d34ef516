"""The parts of the pages: every widget that more than one page or one section needs, and the app's server side."""
