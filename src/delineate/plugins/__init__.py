"""Sessions inside other programs' windows: napari, Gradio. Each needs its own extra, loaded when it is used."""
