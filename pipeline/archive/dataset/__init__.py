"""The dataset of `trackline batch`: Parquet tables by camera and date, segment by segment."""
