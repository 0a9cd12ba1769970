#if defined(__x86_64__)

#include "transpose_heads_int8.h"

#include <immintrin.h>

#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

void alb_transpose_heads_int8__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_transpose_heads *a = context;
    const __m512i turned = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i ones = _mm512_set1_epi8(1);
    for (size_t part = begin; part < end; part++) {
        __m512i sum = _mm512_setzero_si512();
        int8_t *values = a->values + part * a->head_blocks * ALB_SQUARE;
        for (size_t n = 0; n < a->head_blocks; n++, values += ALB_SQUARE) {
            const int8_t *src = alb_square_of(a, part, n);
            // x[k]: 4 inputs, with 4 channels a lane; y[c]: 4 channels, with 4 inputs a lane.
            __m512i x[4], y[4];
            for (int k = 0; k < 4; k++) x[k] = _mm512_shuffle_epi8(_mm512_loadu_si512(src + 64 * k), turned);
            const __m512i low01 = _mm512_shuffle_i32x4(x[0], x[1], 0x44), high01 = _mm512_shuffle_i32x4(x[0], x[1], 0xee);
            const __m512i low23 = _mm512_shuffle_i32x4(x[2], x[3], 0x44), high23 = _mm512_shuffle_i32x4(x[2], x[3], 0xee);
            y[0] = _mm512_shuffle_i32x4(low01, low23, 0x88);
            y[1] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
            y[2] = _mm512_shuffle_i32x4(high01, high23, 0x88);
            y[3] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
            for (int c = 0; c < 4; c++) {
                sum = _mm512_dpbusd_epi32(sum, ones, y[c]);
                _mm512_storeu_si512(values + 64 * c, y[c]);
            }
        }
        _mm512_storeu_ps(a->scales + part * ALB_BLOCK, _mm512_set1_ps(1.0f));
        _mm512_storeu_si512(a->sums + part * ALB_BLOCK, sum);
    }
}

ALB_TARGET_END

#endif
