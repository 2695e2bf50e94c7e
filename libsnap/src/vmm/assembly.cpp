// SPDX-License-Identifier: Apache-2.0
#include "vmm/assembly.h"

#include <algorithm>
#include <new>

namespace snap {

Assembly::Assembly(Reader& reader, ByteSink& sink, const ExportOptions& options)
    : reader_(reader), sink_(sink), options_(options), slots_(2 * options.threads + 1) {
  for (Slot& slot : slots_) slot.bytes.resize(kSlotBytes);
}

Assembly::~Assembly() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
}

Result<void> Assembly::start() {
  return threads_.start(options_.threads, [this](unsigned) { work(); });
}

Result<void> Assembly::bytes(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    SNAP_TRY_ASSIGN(to, room(std::min(bytes.size(), kMostRoom)));
    std::copy_n(bytes.begin(), to.size(), to.begin());
    bytes = bytes.subspan(to.size());
  }
  return {};
}

Result<std::span<std::byte>> Assembly::room(std::size_t bytes) {
  SNAP_TRY(pass());
  const std::size_t at = slot().used;
  slot().used += bytes;
  return std::span(slot().bytes).subspan(at, bytes);
}

// Cut where the region's blocks end, so that none is decoded for two slots.
Result<void> Assembly::region(std::size_t region, std::uint64_t offset, std::uint64_t length) {
  while (length != 0) {
    SNAP_TRY(pass());
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(length, kPiece - offset % kPiece));
    slot().parts.push_back({region, offset, slot().used, now});
    slot().used += now;
    offset += now;
    length -= now;
  }
  return {};
}

Result<void> Assembly::finish() {
  if (slot().used != 0) SNAP_TRY(submit());
  while (written_ != next_) SNAP_TRY(write(slots_[written_ % slots_.size()]));
  return {};
}

Result<void> Assembly::submit() {
  {
    const std::lock_guard lock(mutex_);
    slot().state = State::kReady;
    ++next_;
  }
  changed_.notify_all();
  if (next_ - written_ == slots_.size()) SNAP_TRY(write(slot()));  // the oldest one
  return {};
}

Result<void> Assembly::write(Slot& slot) {
  if (options_.threads == 0) {
    SNAP_TRY(read(slot));
  } else {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return slot.state == State::kRead; });
  }
  if (slot.error.code != Code::kOk) return slot.error;
  if (options_.cancel != nullptr && *options_.cancel) return fail(Code::kCancelled, "cancelled");
  SNAP_TRY(sink_.write(std::span(slot.bytes).first(slot.used)));
  if (options_.progress != nullptr) {
    for (const Part& part : slot.parts) *options_.progress += part.length;
  }
  slot.used = 0;
  slot.parts.clear();
  ++written_;
  const std::lock_guard lock(mutex_);
  slot.state = State::kFree;
  return {};
}

Result<void> Assembly::read(Slot& slot) {
  for (const Part& part : slot.parts) {
    SNAP_TRY(reader_.read(part.region, part.offset, std::span(slot.bytes).subspan(part.at, part.length)));
  }
  return {};
}

void Assembly::work() {
  while (true) {
    Slot* slot = nullptr;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ends_ || reading_ != next_; });
      if (ends_) return;
      slot = &slots_[reading_++ % slots_.size()];
    }
    try {
      slot->error = read(*slot).error();
    } catch (const std::bad_alloc&) {
      slot->error = fail(Code::kNoMemory, "out of memory");
    }
    {
      const std::lock_guard lock(mutex_);
      slot->state = State::kRead;
    }
    changed_.notify_all();
  }
}

}  // namespace snap
