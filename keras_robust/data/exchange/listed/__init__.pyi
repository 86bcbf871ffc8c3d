from .layouts import found_listing as found_listing
