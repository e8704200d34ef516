"""The page Inspector."""
