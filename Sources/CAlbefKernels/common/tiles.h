/// How a product's output is cut into tiles: panels of channels, and in each panel bands of rows of nearly equal height, so that
/// a short last band does not waste a whole one. Consecutive tiles share a panel, whose weights then stay in cache.
#ifndef ALB_TILES_H
#define ALB_TILES_H

#include <stddef.h>
#include <stdint.h>

/// Channels of a packed block.
#define ALB_BLOCK 16

typedef struct {
    size_t rows;      ///< all rows
    size_t channels;  ///< all channels
    size_t width;     ///< channels of a panel, a multiple of 16
    size_t bands;     ///< bands of rows
    size_t panels;    ///< panels of channels
} alb_tiling;

/// One tile of the output. It is passed in two registers: a copy in memory, written in halves and read as a whole, would wait
/// until all outputs of the tile before are written.
typedef struct {
    uint32_t row, rows;          ///< first row, and how many
    uint32_t channel, channels;  ///< first channel, a multiple of 16, and how many
} alb_tile;

/// @param height  The most rows of a tile.
/// @param width   The most channels of a tile, a multiple of 16.
static inline alb_tiling alb_tiling_of(size_t rows, size_t channels, size_t height, size_t width) {
    alb_tiling tiling = {rows, channels, width, (rows + height - 1) / height, (channels + width - 1) / width};
    return tiling;
}

static inline size_t alb_tile_count(alb_tiling tiling) { return tiling.bands * tiling.panels; }

static inline alb_tile alb_tile_at(alb_tiling tiling, size_t index) {
    const size_t panel = index / tiling.bands, band = index % tiling.bands;
    const size_t row = tiling.rows * band / tiling.bands, channel = panel * tiling.width;
    const size_t left = tiling.channels - channel;
    return (alb_tile){
        (uint32_t)row, (uint32_t)(tiling.rows * (band + 1) / tiling.bands - row), (uint32_t)channel,
        (uint32_t)(left < tiling.width ? left : tiling.width)};
}

#endif
