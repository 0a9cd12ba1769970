// AlbefLayers
