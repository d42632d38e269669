/* Log-odds of scores by a staircase: some fifty scores at once in the time that one call of numpy takes.

   whence/calibration/staircase.py says what it must give, to the bit, and does the same without it. It uses Python's stable
   interface alone, so that what was built for one version of Python serves the later ones. */

#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>

enum { READ = 0, REFUSED = 1, FAR = 2 };

/* The numbers of a contiguous array, and how many there are; NULL with an exception for anything else. They stay while the
   array does, which the caller holds. */
static double *numbers(PyObject *array, int flags, Py_ssize_t *count)
{
    Py_buffer view;
    if (PyObject_GetBuffer(array, &view, flags) < 0)
        return NULL;
    double *found = view.buf;
    *count = view.len / (Py_ssize_t)sizeof(double);
    PyBuffer_Release(&view);
    return found;
}

/* How many of the rising knots are at most as large as the score. */
static Py_ssize_t at_most(const double *knots, Py_ssize_t count, double score)
{
    Py_ssize_t low = 0, high = count;
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (knots[middle] <= score)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* On the straight line from knot to knot, and never above the next one, which a rounding might be. */
static double between(const double *knots, const double *levels, Py_ssize_t count, double score)
{
    Py_ssize_t place = at_most(knots, count, score);
    if (place && knots[place - 1] == score) { /* of equal knots the first one counts */
        while (place > 1 && knots[place - 2] == score)
            place--;
        return levels[place - 1];
    }
    if (place == 0 || place == count)
        return levels[place ? count - 1 : 0];
    double from = knots[place - 1], level = levels[place - 1];
    double slope = (levels[place] - level) / (knots[place] - from), found = slope * (score - from) + level;
    return found < levels[place] ? found : levels[place];
}

/* The log-odds of `scores` into `odds`: by an isotonic staircase, which is straight between its knots, or by one that is flat
   between them and has a level more; with a slope that leads upwards everywhere. FAR where a score is beyond `most`, or none. */
int whence_staircase_odds(PyObject *scores, PyObject *knots, PyObject *levels, int is_flat, double centre, double scale, double slope,
                      double most, PyObject *odds)
{
    Py_ssize_t count, places, many, room;
    const double *score = numbers(scores, PyBUF_C_CONTIGUOUS, &count);
    const double *knot = score ? numbers(knots, PyBUF_C_CONTIGUOUS, &places) : NULL;
    const double *level = knot ? numbers(levels, PyBUF_C_CONTIGUOUS, &many) : NULL;
    double *told = level ? numbers(odds, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE, &room) : NULL;
    if (!told || room < count || many < places + (is_flat ? 1 : 0) || !places)
        return REFUSED;
    for (Py_ssize_t row = 0; row < count; row++) {
        if (!(fabs(score[row]) <= most))
            return FAR;
        double away = (score[row] - centre) / scale;
        double step = is_flat ? level[at_most(knot, places, score[row])] : between(knot, level, places, score[row]);
        told[row] = step + slope * away / (1 + fabs(away));
    }
    return READ;
}
