"""Other engines for the same mixtures, in libraries that extras install. None of them loads TensorFlow."""
