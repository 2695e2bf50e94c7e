// SPDX-License-Identifier: Apache-2.0
#include "prefetch.h"

#include <algorithm>
#include <cstdlib>

#include "lowlevel.h"

namespace snap::view {

namespace {

constexpr std::size_t kPieceBytes = 256u << 10;

/// Ranges of a hostile file may name the same pages over and over: no more than the file's size is done in all.
std::vector<std::pair<std::uint64_t, std::size_t>> pieces_of(const File& file, const std::vector<TouchedRange>& ranges) {
  std::vector<std::pair<std::uint64_t, std::size_t>> pieces;
  std::uint64_t left = file.size();
  for (const TouchedRange& range : ranges) {
    file.places(range.region, range.first_page * kPageBytes, range.pages * kPageBytes, [&](const Stretch& part) {
      // The kernel takes whole pages.
      const std::uint64_t begin = (part.at + kPageBytes - 1) / kPageBytes * kPageBytes;
      const std::uint64_t end = std::min(part.at + part.length, begin + left);
      for (std::uint64_t at = begin; at < end;) {
        const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes - at % kPieceBytes, end - at));
        pieces.emplace_back(at, length);
        at += length;
        left -= length;
      }
    });
  }
  return pieces;
}

}  // namespace

Prefetcher::~Prefetcher() {
  stop();
  for (std::thread& each : workers_) each.join();
}

void Prefetcher::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  more_.notify_all();
  done_.notify_all();
}

void Prefetcher::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return stopped_ || (queue_.empty() && busy_ == 0); });
}

void Prefetcher::start(std::uint64_t inode, std::shared_ptr<Tree> tree, File& file, const std::function<std::vector<TouchedRange>()>& ranges) {
  if (!file.mapped()) return;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_ || !begun_.insert(inode).second) return;
  }
  auto work = std::make_shared<Work>();
  *work = {inode, std::move(tree), &file, pieces_of(file, ranges()), 0};
  if (work->pieces.empty()) return;
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(work));
  while (workers_.size() < threads_) workers_.emplace_back([this] { run(); });
  more_.notify_all();
}

void Prefetcher::run() {
  Answer answer;
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
    if (stopped_) return;
    auto work = queue_.front();
    if (work->next == work->pieces.size()) {
      queue_.pop_front();
      if (queue_.empty()) done_.notify_all();
      continue;
    }
    const auto [offset, length] = work->pieces[work->next++];
    ++busy_;
    lock.unlock();
    // An error is told to whoever then reads it. What the kernel no longer knows it does not want.
    const bool wanted = !work->file->read(offset, length, answer) || store(work->inode, offset, answer);
    work.reset();  // may close the snapshot
    lock.lock();
    if (--busy_ == 0) done_.notify_all();
    if (!wanted && !queue_.empty()) queue_.front()->next = queue_.front()->pieces.size();
  }
}

bool Prefetcher::store(std::uint64_t inode, std::uint64_t offset, const Answer& answer) const {
  const auto parts = answer.pieces();
  const std::unique_ptr<void, decltype(&std::free)> memory(std::calloc(1, sizeof(fuse_bufvec) + parts.size() * sizeof(fuse_buf)), std::free);
  if (!memory) return false;
  auto* const vector = static_cast<fuse_bufvec*>(memory.get());
  vector->count = parts.size();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    vector->buf[i].size = parts[i].iov_len;
    vector->buf[i].mem = parts[i].iov_base;
    vector->buf[i].fd = -1;
  }
  return fuse_lowlevel_notify_store(session_, inode, static_cast<off_t>(offset), vector, static_cast<fuse_buf_copy_flags>(0)) == 0;
}

}  // namespace snap::view
