"""Trainees: models in training, one file for each kind."""
