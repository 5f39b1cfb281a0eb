"""Export: a trained model in formats that other libraries load, with a model card and data cards."""
