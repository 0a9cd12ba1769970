/// How pictures and token ids become rows of activations. Scalar on every ISA: these move memory and add once or twice.
#ifndef ALB_INPUT_H
#define ALB_INPUT_H

#include <stddef.h>
#include <stdint.h>

/// dst[c][y][x] = (src[y][x][c] / 255 - mean[c]) / deviation[c], each one IEEE operation.
/// @param size  Height and width R; src is R x R x 3, dst 3 x R x R.
void alb_normalize_pixels(
    int threads, size_t size, const uint8_t *_Nonnull src, const float *_Nonnull mean, const float *_Nonnull deviation,
    float *_Nonnull dst);

/// Cuts a picture into square patches: row gy * G + gx of dst holds patch (gy, gx) in (channel, y, x) order.
/// @param size   Height and width R; src is 3 x R x R.
/// @param patch  Edge of a patch; divides R, G = R / patch. dst is G*G x 3*patch*patch.
void alb_patches(int threads, size_t size, size_t patch, const float *_Nonnull src, float *_Nonnull dst);

/// dst[0] = cls + positions[0]; dst[1 + i] = patches[i] + positions[1 + i].
/// @param count    Patches; dst and positions have 1 + count rows.
/// @param n        Columns.
void alb_image_tokens(
    int threads, size_t count, size_t n, const float *_Nonnull patches, size_t patches_stride, const float *_Nonnull cls,
    const float *_Nonnull positions, float *_Nonnull dst, size_t dst_stride);

/// dst[t] = (word(ids[t]) + type) + positions[places[t]], with word = (float)q * scale or the float32 weight.
typedef struct {
    size_t count;                          ///< tokens
    size_t n;                              ///< columns (the depth of the packed words)
    const int32_t *_Nonnull ids;           ///< count, each below the vocabulary's size
    const int8_t *_Nullable words_int8;    ///< [V/16][N/4][16][4], N = n rounded up to a multiple of 4
    const float *_Nullable word_scales;    ///< one a word; with words_int8
    const float *_Nullable words_f32;      ///< [V/16][n][16]; when words_int8 is null
    const float *_Nonnull type;            ///< n
    const int32_t *_Nonnull places;        ///< count, each below the number of positions
    const float *_Nonnull positions;       ///< positions x n
    float *_Nonnull dst;                   ///< count x n
    size_t dst_stride;                     ///< elements from row to row
} alb_embed_args;

void alb_embed(int threads, const alb_embed_args *_Nonnull args);

#endif
