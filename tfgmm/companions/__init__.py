"""Other engines for the same mixtures, on other libraries, which extras install. None of them loads TensorFlow."""
