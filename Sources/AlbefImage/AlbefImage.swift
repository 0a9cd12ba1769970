// AlbefImage
