"""From pixels to metres: calibration of the ground, speeds on it, GPS tracks of the camera."""
