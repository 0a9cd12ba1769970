#if defined(__x86_64__)

#include "transpose_heads_int8.h"

#include <immintrin.h>

#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

/// Adds up each 4 bytes.
static inline __m256i add_fours(__m256i sum, __m256i bytes) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

void alb_transpose_heads_int8__avx2(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_transpose_heads *a = context;
    const __m256i turned =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    for (size_t part = begin; part < end; part++) {
        __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        int8_t *values = a->values + part * a->head_blocks * ALB_SQUARE;
        for (size_t n = 0; n < a->head_blocks; n++, values += ALB_SQUARE) {
            const int8_t *src = alb_square_of(a, part, n);
            // 8 inputs and 8 channels at a time: two vectors of 4 channels a register, then two of 4 inputs.
            for (int k = 0; k < 2; k++)
                for (int c = 0; c < 2; c++) {
                    const int8_t *from = src + 128 * k + 32 * c;
                    const __m256i first = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)from), turned);
                    const __m256i second = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(from + 64)), turned);
                    const __m256i low = _mm256_permute2x128_si256(first, second, 0x20);
                    const __m256i high = _mm256_permute2x128_si256(first, second, 0x31);
                    sums[k] = add_fours(add_fours(sums[k], low), high);
                    _mm256_storeu_si256((__m256i *)(values + 128 * c + 32 * k), low);
                    _mm256_storeu_si256((__m256i *)(values + 128 * c + 64 + 32 * k), high);
                }
        }
        for (size_t k = 0; k < 2; k++) {
            _mm256_storeu_ps(a->scales + part * ALB_BLOCK + 8 * k, _mm256_set1_ps(1.0f));
            _mm256_storeu_si256((__m256i *)(a->sums + part * ALB_BLOCK + 8 * k), sums[k]);
        }
    }
}

ALB_TARGET_END

#endif
