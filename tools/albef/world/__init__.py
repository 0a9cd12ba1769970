"""A small world to learn from: pictures of coloured shapes before simple backdrops, with texts about them."""
