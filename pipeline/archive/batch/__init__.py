"""The batch job: finds recordings, groups them by camera, processes them, and resumes."""
