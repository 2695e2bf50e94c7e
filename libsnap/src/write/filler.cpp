// SPDX-License-Identifier: Apache-2.0
#include "write/filler.h"

#include <algorithm>

#include "base/fail.h"
#include "io/file.h"

namespace snap {

void Filler::start(std::uint16_t region) {
  region_ = region;
  position_ = 0;
  filling_ = nullptr;
}

Result<void> Filler::bytes(std::span<const std::byte> bytes) {
  return fill(bytes.size(), [&](std::size_t now) -> Result<void> {
    filling_->append(bytes.first(now));
    bytes = bytes.subspan(now);
    return {};
  });
}

Result<void> Filler::zeros(std::uint64_t count) {
  if (filling_ != nullptr) {
    const std::uint64_t now = std::min<std::uint64_t>(count, room());
    SNAP_TRY(fill_zeros(now));
    count -= now;
  }
  while (count >= job_bytes()) {
    SNAP_TRY_ASSIGN(skipped, zeros_without_records(count));
    position_ += skipped;
    taken_ += skipped;
    if (skipped == 0) SNAP_TRY(fill_zeros(job_bytes()));
    count -= skipped != 0 ? skipped : job_bytes();
  }
  return fill_zeros(count);
}

// How many whole jobs' bytes of zeros from here on have no records: nothing is to be done for them.
Result<std::uint64_t> Filler::zeros_without_records(std::uint64_t most) {
  if (delta_ != nullptr) {
    SNAP_TRY_ASSIGN(near, delta_->link.extent(region_, position_, position_ + job_bytes()));
    if (near.data || near.length < job_bytes()) return std::uint64_t{0};  // before anything further is looked at
    SNAP_TRY_ASSIGN(extent, delta_->link.extent(region_, position_, position_ + most));
    most = extent.length;
  }
  return most / job_bytes() * job_bytes();
}

Result<void> Filler::source(RandomSource& source, std::uint64_t offset, std::uint64_t length) {
  while (length != 0) {
    SNAP_TRY_ASSIGN(data, source.next_data(offset));
    if (const std::uint64_t hole = std::min(length, data > offset ? data - offset : 0); hole != 0) {
      SNAP_TRY(zeros(hole));
      offset += hole;
      length -= hole;
      continue;
    }
    SNAP_TRY_ASSIGN(taken, source_piece(source, offset, length));
    offset += taken;
    length -= taken;
  }
  return {};
}

Result<void> Filler::rest(ByteSource& stream, std::uint64_t most) {
  Feed feed(stream, most, taken_);
  // Jobs know the feed, so it stays for all of them, whatever happens here.
  struct Drained {
    Pipeline& pipeline;
    ~Drained() { static_cast<void>(pipeline.drain()); }
  } const drained{pipeline_};
  const std::uint64_t start = position_;
  // A job begun is filled here.
  if (filling_ != nullptr) {
    SNAP_TRY_ASSIGN(got, feed.read(filling_->room(room())));
    filling_->keep(got);
    position_ += got;
    if (room() == 0) SNAP_TRY(submit());
  }
  for (std::uint64_t turn = 0; !feed.ended(); ++turn) {
    SNAP_TRY(need_job());
    filling_->read_from(feed, turn);
    position_ += filling_->capacity();
    SNAP_TRY(submit());
  }
  // Those behind the stream's end held nothing.
  SNAP_TRY(pipeline_.drain());
  position_ = start + feed.total();
  return {};
}

Result<void> Filler::finish() {
  SNAP_TRY(submit());
  return pipeline_.drain();
}

std::size_t Filler::job_bytes() const { return std::max<std::size_t>(kJobBytes, header_.block_bytes()); }

Result<void> Filler::need_job() {
  if (filling_ != nullptr) return {};
  SNAP_TRY_ASSIGN(job, pipeline_.acquire());
  filling_ = job;
  filling_->start(region_, position_);
  return {};
}

Result<void> Filler::submit() {
  if (filling_ == nullptr) return {};
  Job* job = filling_;
  filling_ = nullptr;
  return pipeline_.submit(job);
}

// Takes `count` bytes; `take(n)` puts the next n of them into the job being filled.
template <typename Take>
Result<void> Filler::fill(std::uint64_t count, Take take) {
  while (count != 0) {
    SNAP_TRY(need_job());
    const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(count, room()));
    SNAP_TRY(take(now));
    position_ += now;
    taken_ += now;
    count -= now;
    if (room() == 0) SNAP_TRY(submit());
  }
  return {};
}

Result<void> Filler::fill_zeros(std::uint64_t count) {
  return fill(count, [&](std::size_t now) -> Result<void> {
    filling_->append_zeros(now);
    return {};
  });
}

// One job's worth: read by a worker where the job would hold nothing else, here where it is begun or stays open.
Result<std::uint64_t> Filler::source_piece(RandomSource& source, std::uint64_t offset, std::uint64_t length) {
  SNAP_TRY(need_job());
  const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(length, room()));
  if (now == filling_->capacity()) {
    filling_->read_from(source, offset, now);
    position_ += now;
    taken_ += now;
    SNAP_TRY(submit());
    return std::uint64_t{now};
  }
  const auto read_here = [&](std::size_t bytes) -> Result<void> {
    SNAP_TRY(read_exact(source, offset, filling_->room(bytes), "the input ends before its size"));
    filling_->keep(bytes);
    return {};
  };
  SNAP_TRY(fill(now, read_here));
  return std::uint64_t{now};
}

}  // namespace snap
