/* The inner loops of the tracker, called through taskgroup/tracker/_kernel.py, which holds their meaning in numpy.

   Only single additions, multiplications and divisions of float32 are used, in the same order as there, and none are
   fused, so that both give the same bits on every machine. */

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && defined(__x86_64__) && defined(__linux__) && !defined(__clang__)
#define EACH_MACHINE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EACH_MACHINE
#endif

#if defined(__GNUC__)
#define SOON_WRITTEN(address) __builtin_prefetch(address, 1)
#else
#define SOON_WRITTEN(address) (void)(address)
#endif

#define UNSEEN 65535
#define SOME 2048 /* values whose logits, labels and codes stay in the nearest cache */
#define LINE 32   /* codes that come from memory at once */

/* To be raised with every change of what the functions take: the numpy side refuses another version. */
int taskgroup_version(void)
{
    return 1;
}

/* Put the codes of n values in their place; return whether a label is neither 0 nor 1 nor NaN, or a logit that has a
   label is not finite. */
EACH_MACHINE
static int encode(const float *logits, const float *labels, int64_t n, uint16_t *codes)
{
    const float rounder = 12582912.0f; /* adding it leaves the nearest integer in the low bits */
    int odd = 0;
    for (int64_t i = 0; i < n; i++) {
        float y = labels[i], z = logits[i];
        odd |= (y == y) & (!((y == 0.0f) | (y == 1.0f)) | !((z >= -3.4028235e38f) & (z <= 3.4028235e38f)));
        float x = (1.442695f - 2.88539f * y) * z;
        x = x < 25.0f ? x : 25.0f; /* where x is NaN too */
        x = x > -25.0f ? x : -25.0f;
        float shifted = x + rounder;
        float f = x - (shifted - rounder);
        float power = 0.0013264727f;
        power = power * f + 0.009671513f;
        power = power * f + 0.055507336f;
        power = power * f + 0.24022242f;
        power = power * f + 0.693147f;
        power = power * f + 1.0f;
        uint32_t bits;
        memcpy(&bits, &shifted, 4);
        bits = (bits << 23) + (127u << 23); /* 2 to the integer */
        float scale;
        memcpy(&scale, &bits, 4);
        int32_t code = (int32_t)(65534.0f / (1.0f + power * scale) + 0.5f);
        codes[i] = (uint16_t)(y == y ? code : UNSEEN);
    }
    return odd;
}

static void forget(const int64_t *rows, int64_t n_rows, int32_t *place)
{
    while (n_rows--)
        place[rows[n_rows]] = -1;
}

/* Record a batch whose rows are all new and different and whose values are plain; else mark nothing as seen, return 0. */
int taskgroup_record(const int64_t *rows, const float *logits, const float *labels, int64_t n_rows, int64_t width,
                     int64_t n_samples, int32_t *place, uint16_t *codes)
{
    for (int64_t i = 0; i < n_rows; i++) {
        if (rows[i] < 0 || rows[i] >= n_samples || place[rows[i]] >= 0) {
            forget(rows, i, place);
            return 0;
        }
        place[rows[i]] = (int32_t)i;
    }
    int odd = 0;
    uint16_t some[SOME]; /* of several rows at once: long loops are fast */
    int64_t step = width < SOME ? SOME / width : 1;
    for (int64_t first = 0; first < n_rows; first += step) {
        const float *z = logits + first * width, *y = labels + first * width;
        if (width > SOME) {
            odd |= encode(z, y, width, codes + rows[first] * width);
            continue;
        }
        int64_t n = n_rows - first < step ? n_rows - first : step;
        for (int64_t i = 0; i < n; i++) /* rows lie anywhere: their memory comes while they are encoded */
            for (int64_t j = 0; j < width; j += LINE)
                SOON_WRITTEN(codes + rows[first + i] * width + j);
        odd |= encode(z, y, n * width, some);
        for (int64_t i = 0; i < n; i++)
            memcpy(codes + rows[first + i] * width, some + i * width, 2 * (size_t)width);
    }
    if (odd)
        forget(rows, n_rows, place);
    return !odd;
}

/* Add codes and their squares to sums; unseen codes count as 0. */
EACH_MACHINE
void taskgroup_fold(const uint16_t *codes, int64_t n, uint32_t *total, double *squares)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t code = codes[i] == UNSEEN ? 0 : codes[i];
        total[i] += code;
        squares[i] += (double)code * (double)code;
    }
}
