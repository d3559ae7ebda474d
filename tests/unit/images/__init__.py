"""Unit tests of images/, as far as they need no MLflow."""
