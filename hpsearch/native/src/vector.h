/* One set of names for the vector instructions of three processor types.

   Every operation is IEEE, lane by lane, and sums have a fixed order, so all three give the same
   bits. MIN and MAX return their second operand if one is NaN or both are zeros. */
#pragma once

#if defined(KERNELS_AVX512)
#include <immintrin.h>
#define LANES 16
#define TILE_ROWS 12
#define UPDATE_ROWS 10 /* fewer, to leave registers for the update */
#define TILE_VECTORS 2
typedef __m512 vf;
typedef __m512i vi;
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, a) _mm512_storeu_ps(p, a)
#define SET(x) _mm512_set1_ps(x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define ADD(a, b) _mm512_add_ps(a, b)
#define SUB(a, b) _mm512_sub_ps(a, b)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define DIV(a, b) _mm512_div_ps(a, b)
#define SQRT(a) _mm512_sqrt_ps(a)
#define MIN(a, b) _mm512_min_ps(a, b)
#define MAX(a, b) _mm512_max_ps(a, b)
#define ABS(a) _mm512_abs_ps(a)
#define IF_GREATER(a, b, x, y) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x)
#define TO_INT(a) _mm512_cvtps_epi32(a)
#define FROM_INT(a) _mm512_cvtepi32_ps(a)
#define BITS(a) _mm512_castps_si512(a)
#define FLOAT(a) _mm512_castsi512_ps(a)
#define ISET(x) _mm512_set1_epi32(x)
#define IADD(a, b) _mm512_add_epi32(a, b)
#define ISUB(a, b) _mm512_sub_epi32(a, b)
#define IAND(a, b) _mm512_and_epi32(a, b)
#define IOR(a, b) _mm512_or_epi32(a, b)
#define ILEFT(a, n) _mm512_slli_epi32(a, n)
#define IRIGHT(a, n) _mm512_srli_epi32(a, n)

#elif defined(KERNELS_AVX2)
#include <immintrin.h>
#define LANES 8
#define TILE_ROWS 6
#define UPDATE_ROWS 5
#define TILE_VECTORS 2
typedef __m256 vf;
typedef __m256i vi;
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, a) _mm256_storeu_ps(p, a)
#define SET(x) _mm256_set1_ps(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ADD(a, b) _mm256_add_ps(a, b)
#define SUB(a, b) _mm256_sub_ps(a, b)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define DIV(a, b) _mm256_div_ps(a, b)
#define SQRT(a) _mm256_sqrt_ps(a)
#define MIN(a, b) _mm256_min_ps(a, b)
#define MAX(a, b) _mm256_max_ps(a, b)
#define ABS(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define IF_GREATER(a, b, x, y) _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ))
#define TO_INT(a) _mm256_cvtps_epi32(a)
#define FROM_INT(a) _mm256_cvtepi32_ps(a)
#define BITS(a) _mm256_castps_si256(a)
#define FLOAT(a) _mm256_castsi256_ps(a)
#define ISET(x) _mm256_set1_epi32(x)
#define IADD(a, b) _mm256_add_epi32(a, b)
#define ISUB(a, b) _mm256_sub_epi32(a, b)
#define IAND(a, b) _mm256_and_si256(a, b)
#define IOR(a, b) _mm256_or_si256(a, b)
#define ILEFT(a, n) _mm256_slli_epi32(a, n)
#define IRIGHT(a, n) _mm256_srli_epi32(a, n)

#elif defined(KERNELS_NEON)
#include <arm_neon.h>
#define LANES 4
#define TILE_ROWS 6
#define UPDATE_ROWS 5
#define TILE_VECTORS 4
typedef float32x4_t vf;
typedef int32x4_t vi;
#define LOAD(p) vld1q_f32(p)
#define STORE(p, a) vst1q_f32(p, a)
#define SET(x) vdupq_n_f32(x)
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define ADD(a, b) vaddq_f32(a, b)
#define SUB(a, b) vsubq_f32(a, b)
#define MUL(a, b) vmulq_f32(a, b)
#define DIV(a, b) vdivq_f32(a, b)
#define SQRT(a) vsqrtq_f32(a)
#define MIN(a, b) vbslq_f32(vcltq_f32(a, b), a, b)
#define MAX(a, b) vbslq_f32(vcgtq_f32(a, b), a, b)
#define ABS(a) vabsq_f32(a)
#define IF_GREATER(a, b, x, y) vbslq_f32(vcgtq_f32(a, b), x, y)
#define TO_INT(a) vcvtnq_s32_f32(a)
#define FROM_INT(a) vcvtq_f32_s32(a)
#define BITS(a) vreinterpretq_s32_f32(a)
#define FLOAT(a) vreinterpretq_f32_s32(a)
#define ISET(x) vdupq_n_s32(x)
#define IADD(a, b) vaddq_s32(a, b)
#define ISUB(a, b) vsubq_s32(a, b)
#define IAND(a, b) vandq_s32(a, b)
#define IOR(a, b) vorrq_s32(a, b)
#define ILEFT(a, n) vshlq_n_s32(a, n)
#define IRIGHT(a, n) vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), n))
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
