// SPDX-License-Identifier: Apache-2.0
#include "prefetch.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "lowlevel.h"

namespace snap::view {

namespace {

constexpr std::uint64_t kPieceBytes = 256u << 10;

constexpr std::uint64_t kLongHole = 2u << 20;  // that is not worth pages

/// How much may be pushed: what else is cached has its worth too.
std::uint64_t room() {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    std::uint64_t kibibytes = 0;
    if (word == "MemAvailable:" && file >> kibibytes) return kibibytes * 1024 / 2;
  }
  return 1u << 30;
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

void Prefetcher::start(std::uint64_t inode, std::shared_ptr<Tree> tree, File& file, std::function<std::vector<TouchedRange>()> ranges) {
  if (!file.mapped()) return;
  auto work = std::make_shared<Work>();
  work->inode = inode;
  work->tree = std::move(tree);
  work->file = &file;
  work->ask = std::move(ranges);
  const std::lock_guard lock(mutex_);
  if (stopped_ || !begun_.insert(inode).second) return;
  try {
    while (workers_.size() < threads_) workers_.emplace_back([this] { run(); });
  } catch (const std::system_error&) {
    if (workers_.empty()) return;  // then it is decoded when it is touched
  }
  queue_.push_back(std::move(work));
  more_.notify_all();
}

void Prefetcher::drop_closed(const Tree& tree) {
  std::vector<std::shared_ptr<Work>> dropped;  // ends without the lock: it may close the snapshot
  const std::lock_guard lock(mutex_);
  if (tree.is_open()) return;
  dropped.reserve(queue_.size());
  std::erase_if(queue_, [&](std::shared_ptr<Work>& work) {
    if (work->tree.get() != &tree) return false;
    work->over = true;
    begun_.erase(work->inode);
    dropped.push_back(std::move(work));
    return true;
  });
  if (queue_.empty() && busy_ == 0) done_.notify_all();
}

// Piece by piece: a range may be a whole region, of any size. What the file shows of it in one place goes at once; long holes are left out.
std::optional<Prefetcher::Piece> Prefetcher::next_piece(Work& work) {
  Reader& reader = work.tree->reader();
  while (work.range < work.ranges.size() && work.left != 0) {
    const TouchedRange& range = work.ranges[work.range];
    const std::uint64_t begin = range.first_page * kPageBytes + work.done;
    const std::uint64_t end = std::min((range.first_page + range.pages) * kPageBytes, reader.regions()[range.region].size);
    if (begin >= end) {
      ++work.range;
      work.done = 0;
      continue;
    }
    std::uint64_t length = std::min(kPieceBytes - begin % kPieceBytes, end - begin);
    const auto extent = reader.extent(range.region, begin, end);
    if (extent && !extent->data && extent->length >= kLongHole) {
      work.done += extent->length;
      continue;
    }
    std::optional<Piece> piece;
    work.file->places(range.region, begin, length, [&](const Stretch& part) {
      // The kernel takes whole pages. Where the file shows a part of this elsewhere, that is left to who touches it.
      const std::uint64_t at = (part.at + kPageBytes - 1) / kPageBytes * kPageBytes;
      const std::uint64_t past = (part.at + part.length) / kPageBytes * kPageBytes;
      if (!piece && at < past) piece = Piece{at, static_cast<std::size_t>(past - at)};
    });
    work.done += length;
    if (!piece) continue;
    work.left -= std::min<std::uint64_t>(work.left, piece->length);
    return piece;
  }
  return std::nullopt;
}

void Prefetcher::run() {
  Answer answer;
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
    if (stopped_) return;
    std::rotate(queue_.begin(), queue_.begin() + 1, queue_.end());
    auto work = queue_.back();
    ++busy_;
    lock.unlock();
    try {
      push_one(*work, answer);
    } catch (const std::exception&) {
      work->over = true;  // then it is decoded when it is touched
    }
    lock.lock();
    if (work->over) std::erase(queue_, work);
    lock.unlock();
    work.reset();  // may close the snapshot
    lock.lock();
    --busy_;
    if (queue_.empty() && busy_ == 0) done_.notify_all();
  }
}

void Prefetcher::push_one(Work& work, Answer& answer) {
  std::optional<Piece> piece;
  {
    const std::lock_guard lock(work.mutex);
    if (work.ask) {
      work.ranges = std::exchange(work.ask, nullptr)();
      work.left = std::min(work.file->size(), room());
    }
    piece = next_piece(work);
  }
  // An error is told to whoever then reads it. What the kernel no longer knows it does not want.
  const bool goes_on = piece && !work.over && (!work.file->read(piece->at, piece->length, answer) || store(work.inode, piece->at, answer));
  if (!goes_on) work.over = true;
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
