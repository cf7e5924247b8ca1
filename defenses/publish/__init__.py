"""Publishing protected pictures: as a chain of defenses, with their keypoints, into a folder."""
