"""Networks that read an image as a radiologist would: images in, scores and maps out."""
