"""A convolutional network that reads handwritten digits."""
