/* dataset_export.encoding.ndjson_native: the stable ABI of Python 3.11, so that one build serves all later ones. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "deflate.h"
#include "json_text.h"

typedef struct {
    PyObject_HEAD
    JsonText *json;
    Deflate *deflate;
    Text text;
    size_t history;         /* bytes of the text that were there before the last call */
    bool is_compressed;     /* the text: its end is the history of what comes next */
    bool is_busy;
    Py_ssize_t views;       /* of the text */
    uint8_t *packed;
    size_t packed_room;
} Writer;

static PyObject *writer_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    PyObject *capsule;
    static char *names[] = {"schema", NULL};
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "O:Writer", names, &capsule)) return NULL;
    const struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (!schema) return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Writer *self = (Writer *)make(type, 0);
    if (!self) return NULL;
    const char *why_not;
    self->json = json_text_new(schema, &why_not);
    if (!self->json) {
        PyErr_SetString(PyExc_ValueError, why_not);
        Py_DECREF(self);
        return NULL;
    }
    self->deflate = deflate_new();
    if (!self->deflate) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void writer_dealloc(PyObject *object) {
    Writer *self = (Writer *)object;
    PyTypeObject *type = Py_TYPE(object);
    json_text_free(self->json);
    deflate_free(self->deflate);
    free(self->packed);
    free(self->text.bytes);
    free(self->text.anchors);
    freefunc give_back = (freefunc)PyType_GetSlot(type, Py_tp_free);
    give_back(object);
    Py_DECREF(type);
}

static PyObject *raised(int error) {
    switch (error) {
    case JSON_TEXT_NO_MEMORY: return PyErr_NoMemory();
    case JSON_TEXT_TOO_LARGE: PyErr_SetString(PyExc_OverflowError, "the text of the rows is too large"); return NULL;
    default: PyErr_SetString(PyExc_ValueError, "a value has no text"); return NULL;
    }
}

static bool is_free(const Writer *self) {
    if (self->is_busy) PyErr_SetString(PyExc_RuntimeError, "another thread is using this writer");
    else if (self->views) PyErr_SetString(PyExc_BufferError, "the last text of this writer is still in use");
    return !self->is_busy && !self->views;
}

static PyObject *writer_text(PyObject *object, PyObject *arguments) {
    Writer *self = (Writer *)object;
    PyObject *capsule;
    long long first, rows;
    if (!PyArg_ParseTuple(arguments, "OLL:text", &capsule, &first, &rows)) return NULL;
    const struct ArrowArray *batch = PyCapsule_GetPointer(capsule, "arrow_array");
    if (!batch || !is_free(self)) return NULL;
    int error;
    self->is_busy = true;
    self->is_compressed = false;
    self->text.size = self->text.count = self->history = 0;
    Py_BEGIN_ALLOW_THREADS
    error = json_text_write(self->json, batch, first, rows, &self->text);
    Py_END_ALLOW_THREADS
    self->is_busy = false;
    if (error != JSON_TEXT_DONE) return raised(error);
    return PyBytes_FromStringAndSize((const char *)self->text.bytes, (Py_ssize_t)self->text.size);
}

static int make_room(Writer *self, size_t size) {
    if (size <= self->packed_room) return JSON_TEXT_DONE;
    uint8_t *larger = realloc(self->packed, size);
    if (!larger) return JSON_TEXT_NO_MEMORY;
    self->packed = larger;
    self->packed_room = size;
    return JSON_TEXT_DONE;
}

/* Keep of the text what a match may lie in; returns how much. */
static size_t keep_history(Writer *self, bool is_alone) {
    Text *text = &self->text;
    size_t kept = is_alone || !self->is_compressed ? 0 : text->size < DEFLATE_WINDOW ? text->size : DEFLATE_WINDOW;
    if (kept) memmove(text->bytes, text->bytes + text->size - kept, kept);
    else deflate_reset(self->deflate);
    text->size = kept;
    text->count = 0;
    return kept;
}

static PyObject *writer_deflated(PyObject *object, PyObject *arguments) {
    Writer *self = (Writer *)object;
    PyObject *capsule;
    long long first, rows;
    int is_alone;
    if (!PyArg_ParseTuple(arguments, "OLLp:deflated", &capsule, &first, &rows, &is_alone)) return NULL;
    const struct ArrowArray *batch = PyCapsule_GetPointer(capsule, "arrow_array");
    if (!batch || !is_free(self)) return NULL;
    int error;
    size_t packed = 0;
    self->is_busy = true;
    Py_BEGIN_ALLOW_THREADS
    self->history = keep_history(self, is_alone);
    error = json_text_write(self->json, batch, first, rows, &self->text);
    if (error == JSON_TEXT_DONE) error = make_room(self, deflate_bound(self->text.size - self->history));
    if (error == JSON_TEXT_DONE) packed = deflate_text(self->deflate, &self->text, self->history, self->packed);
    Py_END_ALLOW_THREADS
    self->is_compressed = error == JSON_TEXT_DONE;
    self->is_busy = false;
    if (error != JSON_TEXT_DONE) return raised(error);
    return PyBytes_FromStringAndSize((const char *)self->packed, (Py_ssize_t)packed);
}

static int writer_view(PyObject *object, Py_buffer *view, int flags) {
    Writer *self = (Writer *)object;
    if (self->is_busy) {
        PyErr_SetString(PyExc_BufferError, "another thread is using this writer");
        return -1;
    }
    /* Without text there is no memory either, and a view has to have some. */
    void *text = self->text.bytes ? self->text.bytes + self->history : (void *)"";
    if (PyBuffer_FillInfo(view, object, text, (Py_ssize_t)(self->text.size - self->history), 1, flags)) return -1;
    self->views++;
    return 0;
}

static void writer_release(PyObject *object, Py_buffer *Py_UNUSED(view)) { ((Writer *)object)->views--; }

static PyObject *writer_anchors(PyObject *object, PyObject *Py_UNUSED(none)) {
    Writer *self = (Writer *)object;
    if (!is_free(self)) return NULL;
    return PyBytes_FromStringAndSize((const char *)self->text.anchors, (Py_ssize_t)(self->text.count * sizeof(Anchor)));
}

static PyObject *writer_last_text(PyObject *object, PyObject *Py_UNUSED(none)) { return PyMemoryView_FromObject(object); }

static PyMethodDef writer_methods[] = {
    {"text", writer_text, METH_VARARGS, "Rows of an array as NDJSON."},
    {"deflated", writer_deflated, METH_VARARGS, "Rows of an array as NDJSON, compressed."},
    {"last_text", writer_last_text, METH_NOARGS, "What the last call wrote, not copied."},
    {"anchors", writer_anchors, METH_NOARGS, "Those of the last text: at, slot and value, 32 bits each."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_new, writer_new}, {Py_tp_dealloc, writer_dealloc}, {Py_tp_methods, writer_methods},
    {Py_bf_getbuffer, writer_view}, {Py_bf_releasebuffer, writer_release}, {0, NULL},
};

static PyType_Spec writer_spec = {
    .name = "dataset_export.encoding.ndjson_native.Writer",
    .basicsize = sizeof(Writer),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = writer_slots,
};

static int fill(PyObject *module) {
    PyObject *writer = PyType_FromSpec(&writer_spec);
    if (!writer) return -1;
    int error = PyModule_AddObjectRef(module, "Writer", writer);
    Py_DECREF(writer);
    return error;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "ndjson_native", .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit_ndjson_native(void) { return PyModuleDef_Init(&module); }
