"""Known truth: what is drawn into copies of a study's images, so that it can be looked for."""
