"""`python -m keras_robust.cli`."""

from keras_robust.cli import app

if __name__ == "__main__":
    app()
