/// Packs weights into the kernels' layouts, and back: scalar, done once, at export. Transposes packed weights: in every pass.
#ifndef ALB_PACK_H
#define ALB_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alb_isa.h"

/// What quantisation of a matrix did; for the exporter's report.
typedef struct {
    float least_absmax;      ///< least and greatest of the channels' greatest absolute weights
    float greatest_absmax;
    double square_error;     ///< sum over all weights of (w - q * scale)^2, in double precision
    double square_sum;       ///< sum over all weights of w^2
    size_t worst_channel;    ///< the first channel whose square_error / square_sum is greatest; 0 when all weights are 0
    double worst_share;      ///< that quotient; 0 when all weights are 0
    bool finite;             ///< false when a weight is an infinity or a NaN; then nothing else is meaningful
} alb_pack_report;

/// Symmetric int8 with one scale a channel: absmax = max |w|, scale = absmax / 127,
/// q = clamp(rne(w * (127 / absmax)), -127, 127); absmax 0 gives scale 0 and q 0.
/// @param channels  Rows of src (N).
/// @param depth     Columns of src (K).
/// @param values    [N/16][K/4][16][4], padding 0.
/// @param scales    N rounded up to a multiple of 16, padding 0.
/// @param sums      Like scales: the sum of the channel's q.
void alb_pack_int8(
    int threads, size_t channels, size_t depth, const float *_Nonnull src, int8_t *_Nonnull values, float *_Nonnull scales,
    int32_t *_Nonnull sums, alb_pack_report *_Nonnull report);

/// @param values  [N/16][K][16], padding 0.
/// @return        False when a weight is an infinity or a NaN.
bool alb_pack_f32(int threads, size_t channels, size_t depth, const float *_Nonnull src, float *_Nonnull values);

/// dst[n][k] = (float)q * scale. dst is channels x depth, dense.
void alb_unpack_int8(
    int threads, size_t channels, size_t depth, const int8_t *_Nonnull values, const float *_Nonnull scales, float *_Nonnull dst);

/// Transposes each head's d = channels / heads channels of a packed matrix W, so that g . W[h] is the product of a linear
/// layer of d inputs, whose channels are W's inputs. The heads' matrices follow each other, as one of heads * depth channels.
/// @param heads   Divides channels into multiples of 16.
/// @param depth   A multiple of 16.
/// @param src     [channels/16][depth/4][16][4]
/// @param values  [heads * depth/16][d/4][16][4]: input c of channel h * depth + k is input k of src's channel h * d + c.
/// @param scales  heads * depth: 1, as for the integers themselves.
/// @param sums    heads * depth: the sum over a channel's inputs.
/// Bits: equal on every ISA. Threads: blocks of channels are split. Reads and writes no byte outside of the buffers.
void alb_transpose_heads_int8(
    alb_isa isa, int threads, size_t heads, size_t channels, size_t depth, const int8_t *_Nonnull src,
    int8_t *_Nonnull values, float *_Nonnull scales, int32_t *_Nonnull sums);

/// The variant that runs under a ceiling.
alb_isa alb_transpose_heads_int8_variant(alb_isa ceiling);

/// dst[n][k] = the packed weight. dst is channels x depth, dense.
void alb_unpack_f32(int threads, size_t channels, size_t depth, const float *_Nonnull values, float *_Nonnull dst);

#endif
