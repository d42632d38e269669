/* Scores up to 64 rows with a whole forest at once, bit for bit as LightGBM does, and without a branch on any row's value.

   Each column of the rows becomes bytes once: the rank of a value among the thresholds of its feature decides every split as
   the value itself does, since LightGBM bins a feature into 255 at most. Then every node of a tree is evaluated, children
   before parents, for all rows side by side: where a row's rank is above the threshold the right child's byte is taken, else
   the left child's. A leaf is its own number, so the root holds the number of each row's leaf, whose value is added in the
   order of the trees. In the family of QuickScorer (Lucchese and others, 2015), with blends in the place of bit vectors.

   A slot is 64 bytes, one for each row. The workspace holds, in this order: two slots for each number (a missing value goes
   left in the first and right in the second), two for each category (which byte of a set holds its bit, and which bit), one
   for each leaf number, and one for each node of the group of trees that is being evaluated. Places are given in eighths of a
   slot, so that the processor's addressing does the multiplication. `layout.py` makes what is read here. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAS_AVX2 __builtin_cpu_supports("avx2")
#define HAS_AVX512 __builtin_cpu_supports("avx512bw")
#else
#define HAS_AVX2 0
#define HAS_AVX512 0
#endif

#define ROWS 64
#define NOWHERE 0xff /* the byte of a category code that is in no set */
#define CHUNK 16     /* bytes of a set that one look-up covers */
static const double NEAR_ZERO = 1e-35f; /* LightGBM reads what is nearer to zero as zero */

struct number {
    int32_t feature, first, steps; /* thresholds: 2^steps - 1 of them from `first` on, rising, filled up with infinity */
    uint8_t missing[2], zero[2];   /* the byte in each of the two slots */
};

struct category {
    int32_t feature, first, count; /* codes[first + raw code] is the dense code of a raw code below `count`, or -1 */
};

struct split { /* of a category; its answer lies in its node's slot: 0 for "not in the set", so right, -1 for left */
    uint16_t column, node;
    uint32_t set; /* where its set starts, in chunks … */
    uint32_t chunks; /* … and how many there are: by dense code, a bit each */
};

struct fork { /* a node above two leaves; the right one's number follows the left one's */
    uint16_t column;
    int8_t threshold;
    uint8_t leaf;
};

struct node { /* any other */
    uint16_t column, left, right;
    int8_t threshold, unused;
};

struct tree {
    int32_t leaves; /* where its values start */
    int32_t root;
};

struct group { /* its forks come first in the slots, and then its nodes */
    int32_t trees, splits, forks, nodes;
};

struct part { /* where a group starts */
    const struct split *splits;
    const struct fork *forks;
    const struct node *nodes;
};

struct forest {
    const struct number *numbers;
    const double *thresholds;
    const struct category *categories;
    const int16_t *codes;
    const struct group *groups;
    const struct tree *trees;
    const struct split *splits;
    const uint8_t *sets;
    const struct fork *forks;
    const struct node *nodes;
    const double *leaves;
    int32_t number_count, category_count, group_count, leaf_slots, slots, features;
};

/* ---- from values to bytes ---- */

static void rank_number(const struct number *one, const double *thresholds, const double *rows, int features, int count,
                        uint8_t *slots)
{
    const double *known = thresholds + one->first;
    for (int start = 0; start < count; start += 8) {
        double value[8];
        uint32_t rank[8] = {0};
        for (int lane = 0; lane < 8; lane++) {
            int row = start + lane < count ? start + lane : count - 1;
            value[lane] = rows[(int64_t)row * features + one->feature];
        }
        for (uint32_t step = (1u << one->steps) >> 1; step; step >>= 1)
            for (int lane = 0; lane < 8; lane++)
                rank[lane] += known[rank[lane] + step - 1] < value[lane] ? step : 0;
        for (int lane = 0; lane < 8; lane++) {
            int is_missing = value[lane] != value[lane], is_zero = fabs(value[lane]) <= NEAR_ZERO;
            for (int side = 0; side < 2; side++)
                slots[side * ROWS + start + lane] =
                    is_missing ? one->missing[side] : is_zero ? one->zero[side] : (uint8_t)(rank[lane] ^ 0x80);
        }
    }
}

static void place_category(const struct category *one, const int16_t *codes, const double *rows, int features, int count,
                           uint8_t *slots)
{
    for (int row = 0; row < count; row++) {
        double value = rows[(int64_t)row * features + one->feature];
        int code = value > -1.0 && value < one->count ? codes[one->first + (int)value] : -1;
        slots[row] = code >= 0 ? code >> 3 : NOWHERE;
        slots[ROWS + row] = 1u << (code & 7);
    }
}

/* ---- the trees of a group, for the first 32 rows of each slot or for all 64 ---- */

static inline void *at(uint8_t *slots, uint32_t place)
{
    return slots + (size_t)place * (ROWS / 8);
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __attribute__((always_inline)) void
blend_avx2(const struct forest *forest, const struct group *group, struct part part, uint8_t *slots, __m256i *taken, int halves)
{
    const struct fork *fork = part.forks, *last_fork = fork + group->forks;
    const struct node *node = part.nodes, *last_node = node + group->nodes; /* read before any slot is written: a slot might be it, for all the compiler knows */
    for (int each = 0; each < group->splits; each++) {
        const struct split *split = part.splits + each;
        const uint8_t *set = forest->sets + (size_t)split->set * CHUNK;
        const __m256i *column = at(slots, split->column);
        __m256i *answer = at(slots, split->node), found[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        for (uint32_t chunk = 0; chunk < split->chunks; chunk++) {
            const __m256i start = _mm256_set1_epi8((char)(chunk * CHUNK));
            const __m256i bits = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(set + chunk * CHUNK)));
            for (int half = 0; half < halves; half++) { /* a look-up gives 0 where the highest bit is set: outside the chunk */
                __m256i byte = _mm256_adds_epu8(_mm256_sub_epi8(column[half], start), _mm256_set1_epi8(0x80 - CHUNK));
                found[half] = _mm256_or_si256(found[half], _mm256_shuffle_epi8(bits, byte));
            }
        }
        for (int half = 0; half < halves; half++)
            answer[half] = _mm256_cmpeq_epi8(_mm256_and_si256(found[half], column[2 + half]), column[2 + half]);
    }
    for (; fork < last_fork; fork++, taken += 2) {
        const __m256i threshold = _mm256_set1_epi8(fork->threshold), leaf = _mm256_set1_epi8((char)fork->leaf);
        const __m256i *column = at(slots, fork->column);
        for (int half = 0; half < halves; half++) /* "above" is −1 */
            taken[half] = _mm256_sub_epi8(leaf, _mm256_cmpgt_epi8(column[half], threshold));
    }
    for (; node < last_node; node++, taken += 2) {
        uint64_t places; /* all of them by one load: it is loads that a node waits for */
        memcpy(&places, node, sizeof places);
        const __m256i threshold = _mm256_set1_epi8(node->threshold), *column = at(slots, places & 0xffff);
        const __m256i *left = at(slots, places >> 16 & 0xffff), *right = at(slots, places >> 32 & 0xffff);
        for (int half = 0; half < halves; half++)
            taken[half] = _mm256_blendv_epi8(left[half], right[half], _mm256_cmpgt_epi8(column[half], threshold));
    }
}

AVX2 static void blend_avx2_32(const struct forest *forest, const struct group *group, struct part part, uint8_t *slots,
                               void *taken)
{
    blend_avx2(forest, group, part, slots, taken, 1);
}

AVX2 static void blend_avx2_64(const struct forest *forest, const struct group *group, struct part part, uint8_t *slots,
                               void *taken)
{
    blend_avx2(forest, group, part, slots, taken, 2);
}

#define AVX512 __attribute__((target("avx512bw")))

AVX512 static void blend_avx512(const struct forest *forest, const struct group *group, struct part part, uint8_t *slots,
                                void *place)
{
    const struct fork *fork = part.forks, *last_fork = fork + group->forks;
    const struct node *node = part.nodes, *last_node = node + group->nodes;
    const __m512i one = _mm512_set1_epi8(1);
    __m512i *taken = place;
    for (int each = 0; each < group->splits; each++) {
        const struct split *split = part.splits + each;
        const uint8_t *set = forest->sets + (size_t)split->set * CHUNK;
        const __m512i *column = at(slots, split->column);
        __m512i *answer = at(slots, split->node), found = _mm512_setzero_si512();
        for (uint32_t chunk = 0; chunk < split->chunks; chunk++) { /* see above */
            const __m512i start = _mm512_set1_epi8((char)(chunk * CHUNK));
            const __m512i bits = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(set + chunk * CHUNK)));
            __m512i byte = _mm512_adds_epu8(_mm512_sub_epi8(column[0], start), _mm512_set1_epi8(0x80 - CHUNK));
            found = _mm512_or_si512(found, _mm512_shuffle_epi8(bits, byte));
        }
        *answer = _mm512_movm_epi8(_mm512_cmpeq_epi8_mask(_mm512_and_si512(found, column[1]), column[1]));
    }
    for (; fork < last_fork; fork++, taken++) {
        const __m512i threshold = _mm512_set1_epi8(fork->threshold), leaf = _mm512_set1_epi8((char)fork->leaf);
        const __m512i *column = at(slots, fork->column);
        *taken = _mm512_mask_add_epi8(leaf, _mm512_cmpgt_epi8_mask(*column, threshold), leaf, one);
    }
    for (; node < last_node; node++, taken++) {
        uint64_t places;
        memcpy(&places, node, sizeof places);
        const __m512i threshold = _mm512_set1_epi8(node->threshold), *column = at(slots, places & 0xffff);
        const __m512i *left = at(slots, places >> 16 & 0xffff), *right = at(slots, places >> 32 & 0xffff);
        *taken = _mm512_mask_blend_epi8(_mm512_cmpgt_epi8_mask(*column, threshold), *left, *right);
    }
}
#endif

typedef int8_t bytes __attribute__((vector_size(16), may_alias));

static inline __attribute__((always_inline)) void
blend_anywhere(const struct forest *forest, const struct group *group, struct part part, uint8_t *slots, bytes *taken, int rows)
{
    for (int each = 0; each < group->splits; each++) {
        const struct split *split = part.splits + each;
        const uint8_t *set = forest->sets + (size_t)split->set * CHUNK, *column = at(slots, split->column);
        uint8_t *answer = at(slots, split->node);
        for (int row = 0; row < rows; row++)
            answer[row] = column[row] < split->chunks * CHUNK && set[column[row]] & column[ROWS + row] ? 0xff : 0;
    }
    for (int each = 0; each < group->forks; each++, taken += ROWS / 16) {
        const struct fork *fork = part.forks + each;
        const bytes threshold = fork->threshold - (bytes){0}, leaf = (int8_t)fork->leaf - (bytes){0}, *column = at(slots, fork->column);
        for (int piece = 0; piece < rows / 16; piece++)
            taken[piece] = leaf - (column[piece] > threshold); /* "above" is −1 */
    }
    for (int each = 0; each < group->nodes; each++, taken += ROWS / 16) {
        const struct node *node = part.nodes + each;
        const bytes threshold = node->threshold - (bytes){0}, *column = at(slots, node->column);
        const bytes *left = at(slots, node->left), *right = at(slots, node->right);
        for (int piece = 0; piece < rows / 16; piece++) {
            bytes above = column[piece] > threshold;
            taken[piece] = (right[piece] & above) | (left[piece] & ~above);
        }
    }
}

static void blend_anywhere_32(const struct forest *forest, const struct group *group, struct part part, uint8_t *slots,
                              void *taken)
{
    blend_anywhere(forest, group, part, slots, taken, 32);
}

static void blend_anywhere_64(const struct forest *forest, const struct group *group, struct part part, uint8_t *slots,
                              void *taken)
{
    blend_anywhere(forest, group, part, slots, taken, 64);
}

typedef void blend(const struct forest *, const struct group *, struct part, uint8_t *, void *);

static blend *chosen(int vectors, int rows)
{
#if defined(__x86_64__)
    if (vectors >= 2 && rows > 32)
        return blend_avx512;
    if (vectors >= 1)
        return rows > 32 ? blend_avx2_64 : blend_avx2_32;
#endif
    (void)vectors;
    return rows > 32 ? blend_anywhere_64 : blend_anywhere_32;
}

static void add_leaves(uint8_t *slots, const struct tree *trees, int tree_count, const double *leaves, double *sums, int count)
{
    int each = 0;
    for (; each + 3 < tree_count; each += 4) { /* four at a time, so that a sum is fetched and stored a quarter as often */
        const uint8_t *leaf[4];
        const double *values[4];
        for (int tree = 0; tree < 4; tree++) {
            leaf[tree] = at(slots, trees[each + tree].root);
            values[tree] = leaves + trees[each + tree].leaves;
        }
        for (int row = 0; row < count; row++)
            sums[row] = sums[row] + values[0][leaf[0][row]] + values[1][leaf[1][row]] + values[2][leaf[2][row]] +
                        values[3][leaf[3][row]];
    }
    for (; each < tree_count; each++) {
        const uint8_t *leaf = at(slots, trees[each].root);
        const double *values = leaves + trees[each].leaves;
        for (int row = 0; row < count; row++)
            sums[row] += values[leaf[row]];
    }
}

/* ---- what Python calls ---- */

/* The widest vectors that this processor has: 2 for AVX-512, 1 for AVX2, 0 for any. */
int whence_blend_vectors(void)
{
    return HAS_AVX512 ? 2 : HAS_AVX2 ? 1 : 0;
}

/* Raw scores of `count` rows × features; 1 when there is no memory, else 0. `vectors` is at most whence_blend_vectors(). */
int whence_blend_score(const struct forest *forest, const double *rows, int64_t count, double *scores, int vectors)
{
    uint8_t *slots = aligned_alloc(ROWS, (size_t)forest->slots * ROWS);
    if (!slots)
        return 1;
    const int inputs = 2 * forest->number_count + 2 * forest->category_count;
    memset(slots, 0, (size_t)inputs * ROWS);
    for (int leaf = 0; leaf < forest->leaf_slots; leaf++)
        memset(slots + (inputs + leaf) * ROWS, leaf, ROWS);
    for (int64_t start = 0; start < count; start += ROWS) {
        const double *block = rows + start * forest->features;
        const int here = count - start < ROWS ? (int)(count - start) : ROWS;
        blend *evaluate = chosen(vectors, here);
        uint8_t *column = slots;
        for (int each = 0; each < forest->number_count; each++, column += 2 * ROWS)
            rank_number(forest->numbers + each, forest->thresholds, block, forest->features, here, column);
        for (int each = 0; each < forest->category_count; each++, column += 2 * ROWS)
            place_category(forest->categories + each, forest->codes, block, forest->features, here, column);
        double sums[ROWS] = {0};
        const struct tree *trees = forest->trees;
        struct part part = {forest->splits, forest->forks, forest->nodes};
        for (int each = 0; each < forest->group_count; each++) {
            const struct group *group = forest->groups + each;
            evaluate(forest, group, part, slots, slots + (inputs + forest->leaf_slots) * ROWS);
            add_leaves(slots, trees, group->trees, forest->leaves, sums, here);
            trees += group->trees;
            part.splits += group->splits;
            part.forks += group->forks;
            part.nodes += group->nodes;
        }
        memcpy(scores + start, sums, (size_t)here * sizeof(double));
    }
    free(slots);
    return 0;
}
