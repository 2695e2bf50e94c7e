// SPDX-License-Identifier: Apache-2.0
// A cache with a hard byte limit in which many who ask for one thing wait for one load.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/fail.h"
#include "snap/result.h"

namespace snap {

/// T has `std::size_t memory_bytes() const`. All methods from any thread.
template <typename T>
class SharedCache {
 public:
  using Value = std::shared_ptr<T>;

  /// `value_bytes`: about what one value takes; a shard holds a few at least.
  SharedCache(std::size_t limit_bytes, std::size_t value_bytes) {
    std::size_t shards = 8;
    while (shards > 1 && limit_bytes / shards < 4 * value_bytes) shards /= 2;
    shards_ = std::vector<Shard>(shards);
    for (Shard& shard : shards_) shard.limit = limit_bytes / shards;
  }

  /// Values go until the limit is kept.
  void set_limit(std::size_t limit_bytes) {
    for (Shard& shard : shards_) {
      std::list<Kept> evicted;  // freed without the lock
      const std::lock_guard lock(shard.mutex);
      shard.limit = limit_bytes / shards_.size();
      shrink(shard, evicted);
    }
  }

  /// A value that is here, or that another thread was loading; nothing where the caller now has to load it, and then must call
  /// publish(), settle() or abandon().
  Result<Value> claim(std::uint64_t key) {
    Shard& shard = shard_of(key);
    std::unique_lock lock(shard.mutex);
    const auto at = shard.slots.find(key);
    if (at == shard.slots.end()) {
      shard.slots.emplace(key, Slot{std::make_shared<Flight>(), shard.recent.end()});
      return Value();
    }
    if (at->second.flight == nullptr) return touch(shard, at->second);
    const auto flight = at->second.flight;
    ++flight->waiters;
    shard.landed.wait(lock, [&] { return flight->done; });
    if (flight->error.code != Code::kOk) return flight->error;
    return flight->value;
  }

  /// The same without waiting or claiming.
  Value peek(std::uint64_t key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    const auto at = shard.slots.find(key);
    if (at == shard.slots.end() || at->second.flight != nullptr) return nullptr;
    return touch(shard, at->second);
  }

  void publish(std::uint64_t key, const Value& value) {
    Shard& shard = shard_of(key);
    std::list<Kept> kept;  // made before anything changes
    kept.push_back({key, value, value->memory_bytes()});
    std::list<Kept> evicted;  // freed without the lock
    const std::lock_guard lock(shard.mutex);
    const auto at = shard.slots.find(key);
    land(shard, *at->second.flight, value, Error{});
    if (kept.front().bytes > shard.limit) {
      shard.slots.erase(at);
      return;
    }
    shard.bytes += kept.front().bytes;
    shard.recent.splice(shard.recent.begin(), kept);
    at->second = Slot{nullptr, shard.recent.begin()};
    shrink(shard, evicted);
  }

  /// Ends a claim without a value; false where others wait for one, which then must be published.
  bool settle(std::uint64_t key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    const auto at = shard.slots.find(key);
    if (at->second.flight->waiters != 0) return false;
    shard.slots.erase(at);
    return true;
  }

  void abandon(std::uint64_t key, const Error& error) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    const auto at = shard.slots.find(key);
    land(shard, *at->second.flight, nullptr, error);
    shard.slots.erase(at);
  }

  /// The value, from here or from `load`, which answers Result<Value>.
  template <typename Load>
  Result<Value> get(std::uint64_t key, Load load) {
    SNAP_TRY_ASSIGN(value, claim(key));
    if (value != nullptr) return value;
    Claim claimed(*this, key);
    Result<Value> loaded = load();
    if (loaded) {
      claimed.publish(*loaded);
    } else {
      claimed.abandon(loaded.error());
    }
    return loaded;
  }

  /// The duty that claim() lays on its caller. Left open, as by an exception, it is abandoned.
  class Claim {
   public:
    Claim(SharedCache& cache, std::uint64_t key) : cache_(cache), key_(key) {}
    ~Claim() { abandon(fail(Code::kNoMemory, "out of memory")); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

    void publish(const Value& value) {
      cache_.publish(key_, value);
      open_ = false;
    }
    bool settle() {
      if (cache_.settle(key_)) open_ = false;
      return !open_;
    }
    void abandon(const Error& error) {
      if (open_) cache_.abandon(key_, error);
      open_ = false;
    }

   private:
    SharedCache& cache_;
    std::uint64_t key_;
    bool open_ = true;
  };

 private:
  struct Flight {
    Value value;
    Error error;
    unsigned waiters = 0;
    bool done = false;
  };
  struct Kept {
    std::uint64_t key = 0;
    Value value;
    std::size_t bytes = 0;
  };
  struct Slot {
    std::shared_ptr<Flight> flight;  // null once the value is here
    typename std::list<Kept>::iterator place;
  };
  struct Shard {
    std::mutex mutex;
    std::condition_variable landed;
    std::unordered_map<std::uint64_t, Slot> slots;
    std::list<Kept> recent;
    std::size_t bytes = 0;
    std::size_t limit = 0;
  };

  Shard& shard_of(std::uint64_t key) { return shards_[(key * 0x9E3779B97F4A7C15u >> 40) % shards_.size()]; }

  static void shrink(Shard& shard, std::list<Kept>& evicted) {
    while (shard.bytes > shard.limit) {
      const auto last = std::prev(shard.recent.end());
      shard.bytes -= last->bytes;
      shard.slots.erase(last->key);
      evicted.splice(evicted.end(), shard.recent, last);
    }
  }

  static void land(Shard& shard, Flight& flight, const Value& value, const Error& error) {
    flight.value = value;
    flight.error = error;
    flight.done = true;
    if (flight.waiters != 0) shard.landed.notify_all();
  }

  static Value touch(Shard& shard, const Slot& slot) {
    shard.recent.splice(shard.recent.begin(), shard.recent, slot.place);
    return slot.place->value;
  }

  std::vector<Shard> shards_;
};

}  // namespace snap
