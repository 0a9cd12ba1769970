/// How a product's output is cut into tiles: panels of channels, and in each panel bands of rows of nearly equal height, so that
/// a short last band does not waste a whole one. Consecutive tiles share a panel, whose weights then stay in cache.
#ifndef ALB_TILES_H
#define ALB_TILES_H

#include <stddef.h>

/// Channels of a packed block.
#define ALB_BLOCK 16

typedef struct {
    size_t rows;      ///< all rows
    size_t channels;  ///< all channels
    size_t width;     ///< channels of a panel, a multiple of 16
    size_t bands;     ///< bands of rows
    size_t panels;    ///< panels of channels
} alb_tiling;

/// One tile of the output.
typedef struct {
    size_t row, rows;          ///< first row, and how many
    size_t channel, channels;  ///< first channel, a multiple of 16, and how many
} alb_tile;

/// @param height  The most rows of a tile.
/// @param width   The most channels of a tile, a multiple of 16.
static inline alb_tiling alb_tiling_of(size_t rows, size_t channels, size_t height, size_t width) {
    alb_tiling tiling = {rows, channels, width, (rows + height - 1) / height, (channels + width - 1) / width};
    return tiling;
}

static inline size_t alb_tile_count(alb_tiling tiling) { return tiling.bands * tiling.panels; }

static inline alb_tile alb_tile_at(alb_tiling tiling, size_t index) {
    size_t panel = index / tiling.bands, band = index % tiling.bands;
    alb_tile tile;
    tile.row = tiling.rows * band / tiling.bands;
    tile.rows = tiling.rows * (band + 1) / tiling.bands - tile.row;
    tile.channel = panel * tiling.width;
    tile.channels = tiling.channels - tile.channel < tiling.width ? tiling.channels - tile.channel : tiling.width;
    return tile;
}

#endif
