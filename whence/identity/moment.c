/* Writes those inputs of identity-ranker that a moment decides into rows that hold the others.

   whence/identity/evidence.py says what they are, to the bit, and does the same without it. It uses Python's stable interface
   alone, so that what was built for one version of Python serves the later ones. */

#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>

enum { READ = 0, REFUSED = 1 };
static const double SECOND = 1e6, HOUR = 3600;

/* What a contiguous array holds, where it holds so many things of eight bytes; NULL with an exception for anything else. They
   stay while the array does, which the caller holds. */
static void *held(PyObject *array, int flags, Py_ssize_t count)
{
    Py_buffer view;
    if (PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | flags) < 0)
        return NULL;
    void *found = view.len == 8 * count ? view.buf : NULL;
    PyBuffer_Release(&view);
    if (!found)
        PyErr_SetString(PyExc_ValueError, "a column has another length than the rows");
    return found;
}

/* Hours from a time to a later one, in microseconds; NaN where there is none. */
static double hours(int64_t then, int64_t now)
{
    return then == INT64_MIN || now == INT64_MIN ? NAN : (double)(now - then) / SECOND / HOUR;
}

/* Hours between two hours of the day, round the clock. */
static double apart(double hour, double usual)
{
    double gap = fabs(hour - usual);
    return 24 - gap < gap ? 24 - gap : gap;
}

/* Into rows × width: hours from each of two columns of times to `now`, hours from a column of hours of the day to `hour`, and the
   network's age; each to a column of its own, none where that is below 0. */
int whence_moment_write(PyObject *matrix, Py_ssize_t rows, Py_ssize_t width, PyObject *together, PyObject *seen, PyObject *usual,
                        int64_t now, double hour, double age, int to_together, int to_seen, int to_hour, int to_age)
{
    double *row = held(matrix, PyBUF_WRITABLE, rows * width);
    const int64_t *met = row ? held(together, 0, rows) : NULL, *last = met ? held(seen, 0, rows) : NULL;
    const double *day = last ? held(usual, 0, rows) : NULL;
    if (!day || to_together >= width || to_seen >= width || to_hour >= width || to_age >= width)
        return REFUSED;
    for (Py_ssize_t place = 0; place < rows; place++, row += width) {
        if (to_together >= 0)
            row[to_together] = hours(met[place], now);
        if (to_seen >= 0)
            row[to_seen] = hours(last[place], now);
        if (to_hour >= 0)
            row[to_hour] = apart(hour, day[place]);
        if (to_age >= 0)
            row[to_age] = age;
    }
    return READ;
}
