#include "server/loop.h"

#include "protocol/satchel_rc.h"

static loop_task *take_tasks(loop *l) {
    pthread_mutex_lock(&l->lock);
    loop_task *first = l->first;
    l->first = NULL;
    l->last = &l->first;
    pthread_mutex_unlock(&l->lock);
    return first;
}

static void run_tasks(loop *l) {
    for (loop_task *t = take_tasks(l), *next; t; t = next) {
        next = t->next;
        t->run(t);
    }
}

static void on_async(uv_async_t *async) {
    loop *l = async->data;
    run_tasks(l);
    if (l->woken) l->woken(l->ctx);
}

int loop_open(loop *l, buf *error) {
    *l = (loop){.last = &l->first};
    int rc = uv_loop_init(&l->uv);
    if (!rc) rc = uv_async_init(&l->uv, &l->async, on_async);
    if (rc) {
        buf_printf(error, "cannot make the event loop: %s", uv_strerror(rc));
        return SATCHEL_E_IO;
    }
    l->async.data = l;
    pthread_mutex_init(&l->lock, NULL);
    return SATCHEL_OK;
}

void loop_run(loop *l) {
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_end(loop *l) {
    l->woken = NULL;
    l->ended = true;
    if (!uv_is_closing((uv_handle_t *)&l->async)) uv_close((uv_handle_t *)&l->async, NULL);
}

void loop_close(loop *l) {
    loop_end(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    run_tasks(l);
    uv_loop_close(&l->uv);
    pthread_mutex_destroy(&l->lock);
}

void loop_post(loop *l, loop_task *task) {
    task->next = NULL;
    pthread_mutex_lock(&l->lock);
    *l->last = task;
    l->last = &task->next;
    pthread_mutex_unlock(&l->lock);
    loop_wake(l);
}

void loop_wake(loop *l) {
    if (!l->ended) uv_async_send(&l->async);
}
