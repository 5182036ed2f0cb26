//! Something to wait for that is looked at only when it has been woken. A task that waits for several things is woken for one of them, and looking at
//! each of the others, for thousands of tasks, costs more than what is done then.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::Stream;

/// See the module. A future, or a stream.
#[derive(Debug)]
pub struct Woken<F> {
    inner: Pin<Box<F>>,
    bell: Arc<Bell>,
    /// The bell's.
    waker: Waker,
    /// Whom the bell calls.
    task: Option<Waker>,
}

#[derive(Debug, Default)]
struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Who has been called already and has not looked yet need not be called again.
        if self.rang.swap(true, Ordering::AcqRel) {
            return;
        }
        // Nothing can be half done in it.
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}

impl<F> Woken<F> {
    #[must_use]
    pub fn new(inner: F) -> Self {
        let bell = Arc::new(Bell { rang: AtomicBool::new(true), task: Mutex::default() });
        Self { inner: Box::pin(inner), waker: Waker::from(Arc::clone(&bell)), bell, task: None }
    }

    fn look<T>(&mut self, context: &Context<'_>, poll: impl FnOnce(Pin<&mut F>, &mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if self.task.as_ref().is_none_or(|task| !task.will_wake(context.waker())) {
            let task = Some(context.waker().clone());
            self.bell.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&task);
            self.task = task;
        }
        // After the task is known: who rings from here on calls it. And before the look: what happens meanwhile is looked at again.
        if !self.bell.rang.load(Ordering::Relaxed) || !self.bell.rang.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let polled = poll(self.inner.as_mut(), &mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            // There may be more, and nobody says so.
            self.bell.rang.store(true, Ordering::Release);
        }
        polled
    }
}

impl<F: Future> Future for Woken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.look(context, Future::poll)
    }
}

impl<S: Stream> Stream for Woken<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.look(context, Stream::poll_next)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::StreamExt as _;
    use tokio::sync::{mpsc, oneshot};
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    struct Counted<F>(F, Arc<AtomicUsize>);

    impl<F: Future + Unpin> Future for Counted<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll(context)
        }
    }

    #[tokio::test]
    async fn it_is_looked_at_when_it_was_woken_and_not_before() {
        let (sender, receiver) = oneshot::channel();
        let looks = Arc::new(AtomicUsize::new(0));
        let mut woken = Woken::new(Counted(receiver, Arc::clone(&looks)));
        for _ in 0..3 {
            assert!(futures::poll!(&mut woken).is_pending());
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        sender.send(7).unwrap();
        assert_eq!((woken.await, looks.load(Ordering::Relaxed)), (Ok(7), 2));
    }

    #[tokio::test]
    async fn of_several_that_came_at_once_none_is_left() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut woken = Woken::new(UnboundedReceiverStream::new(receiver));
        assert!(futures::poll!(woken.next()).is_pending());
        (0..3).for_each(|number| sender.send(number).unwrap());
        assert_eq!([woken.next().await, woken.next().await, woken.next().await], [Some(0), Some(1), Some(2)]);
        drop(sender);
        assert_eq!(woken.next().await, None);
    }

    #[tokio::test]
    async fn who_looks_now_is_called_and_not_who_looked_before() {
        let (sender, receiver) = oneshot::channel();
        let mut woken = Woken::new(receiver);
        assert!(futures::poll!(&mut woken).is_pending());
        let other = tokio::spawn(woken);
        tokio::task::yield_now().await;
        sender.send(()).unwrap();
        assert_eq!(other.await.unwrap(), Ok(()));
    }
}
