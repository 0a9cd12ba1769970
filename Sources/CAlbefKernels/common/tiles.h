/// How a product's output is cut into tiles: panels of channels, and in each panel bands of rows of nearly equal height, so that
/// a short last band does not waste a whole one: the first are one row higher than the others, where rows do not come out even.
/// Consecutive tiles share a panel, whose weights then stay in cache.
#ifndef ALB_TILES_H
#define ALB_TILES_H

#include <stddef.h>
#include <stdint.h>

/// Channels of a packed block.
#define ALB_BLOCK 16

typedef struct {
    size_t channels;  ///< all channels
    size_t width;     ///< channels of a panel, a multiple of 16
    size_t bands;     ///< bands of rows
    size_t height;    ///< rows of the lower bands
    size_t higher;    ///< bands that have one more
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
    const size_t bands = (rows + height - 1) / height;
    return (alb_tiling){
        channels, width, bands, bands ? rows / bands : 0, bands ? rows % bands : 0, (channels + width - 1) / width};
}

static inline size_t alb_tile_count(alb_tiling tiling) { return tiling.bands * tiling.panels; }

/// Without a division, which a tile that takes a microsecond would notice.
static inline alb_tile alb_tile_of(alb_tiling tiling, size_t panel, size_t band) {
    const size_t row = tiling.height * band + (band < tiling.higher ? band : tiling.higher), channel = panel * tiling.width;
    const size_t left = tiling.channels - channel;
    return (alb_tile){
        (uint32_t)row, (uint32_t)(tiling.height + (band < tiling.higher)), (uint32_t)channel,
        (uint32_t)(left < tiling.width ? left : tiling.width)};
}

static inline alb_tile alb_tile_at(alb_tiling tiling, size_t index) {
    return alb_tile_of(tiling, index / tiling.bands, index % tiling.bands);
}

#endif
