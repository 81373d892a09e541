"""What a variational autoencoder is to be held beside: Bayes classifiers, n-grams."""
