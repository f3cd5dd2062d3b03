"""What every test needs: a quiet TensorFlow and figures without a screen. Must run before either is imported."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
