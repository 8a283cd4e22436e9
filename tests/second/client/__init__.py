"""A device of Satchel in Python, written from protocol/ alone: start with device.py."""
