"""From a request's texts to the token ids of its pairs."""
