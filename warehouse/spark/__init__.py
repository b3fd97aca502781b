"""The block tables on Spark; extra ``spark``."""
