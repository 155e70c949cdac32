"""Trainees: models in training, with one file per kind of model."""
