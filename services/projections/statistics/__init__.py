"""Figures for everybody: by closed quarter, never revised, and so that no two of them tell of one child."""
