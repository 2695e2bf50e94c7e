// SPDX-License-Identifier: Apache-2.0
// A mutator that knows the container: it changes fields and moves records, then signs again, so that what stands behind the
// checks is reached.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "fuzz/fixed_parent.h"
#include "support/resign.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace snap::test {

class Mutator {
 public:
  Mutator(Bytes& file, std::size_t max_bytes, unsigned seed) : file_(file), max_bytes_(max_bytes), random_(seed) {}

  void run() {
    if (file_.size() < 200) return;
    for (std::uint64_t i = 0; i <= random_.below(3); ++i) {
      find_records();
      change();
    }
    ResignOptions options;
    if (random_.one_in(8)) options = {!random_.one_in(3), !random_.one_in(3), !random_.one_in(3), !random_.one_in(3), !random_.one_in(3), !random_.one_in(3)};
    resign(file_, options, parent_for(file_));
    if (file_.size() > max_bytes_) file_.resize(max_bytes_);
  }

 private:
  struct Place {
    std::size_t at;
    std::size_t bytes;
  };

  void find_records() {
    records_.clear();
    wire::Header header;
    std::memcpy(&header, file_.data(), sizeof header);
    for (std::size_t at = std::min<std::size_t>(header.header_bytes, file_.size()); at + sizeof(wire::RecordHead) + sizeof(wire::Trailer) <= file_.size();) {
      wire::RecordHead head;
      std::memcpy(&head, file_.data() + at, sizeof head);
      const std::size_t bytes = std::min<std::size_t>(sizeof head + head.body_bytes, file_.size() - at);
      records_.push_back({at, bytes});
      at += bytes;
    }
  }

  std::ptrdiff_t signed_of(std::size_t value) { return static_cast<std::ptrdiff_t>(value); }
  Bytes copy_of(const Place& place) { return Bytes(file_.begin() + signed_of(place.at), file_.begin() + signed_of(place.at + place.bytes)); }
  void insert(std::size_t at, const Bytes& bytes) { file_.insert(file_.begin() + signed_of(at), bytes.begin(), bytes.end()); }
  void erase(const Place& place) { file_.erase(file_.begin() + signed_of(place.at), file_.begin() + signed_of(place.at + place.bytes)); }

  void change() {
    if (records_.empty()) return;
    const Place place = records_[random_.below(records_.size())];
    switch (random_.below(9)) {
      case 0:
      case 1: change_head(place); break;
      case 2:
      case 3: change_number(place.at + sizeof(wire::RecordHead), place.bytes - sizeof(wire::RecordHead)); break;
      case 4: erase(place); break;
      case 5: insert(records_[random_.below(records_.size())].at, copy_of(place)); break;
      case 6: resize_body(place); break;
      case 7: change_number(0, sizeof(wire::Header)); break;
      default: change_bytes(place); break;
    }
  }

  // A field of a head gets another value.
  void change_head(const Place& place) {
    static constexpr std::size_t fields[][2] = {{4, 1}, {5, 1}, {6, 2}, {12, 4}, {16, 8}};
    const auto& field = fields[random_.below(std::size(fields))];
    change_at(place.at + field[0], field[1]);
  }

  void change_number(std::size_t at, std::size_t bytes) {
    if (bytes == 0) return;
    const std::size_t offset = random_.below(std::min<std::size_t>(bytes, random_.one_in(2) ? 48 : bytes));
    change_at(at + offset, std::min<std::size_t>(std::size_t{1} << random_.below(4), bytes - offset));
  }

  void change_at(std::size_t at, std::size_t bytes) {
    if (at + bytes > file_.size()) return;
    std::uint64_t value = 0;
    std::memcpy(&value, file_.data() + at, bytes);
    switch (random_.below(6)) {
      case 0: value += 1; break;
      case 1: value -= 1; break;
      case 2: value = random_.below(300); break;
      case 3: value = ~std::uint64_t{0} >> random_.below(64); break;
      case 4: value ^= std::uint64_t{1} << random_.below(8 * bytes); break;
      default: value = random_.next(); break;
    }
    std::memcpy(file_.data() + at, &value, bytes);
  }

  void resize_body(const Place& place) {
    wire::RecordHead head;
    std::memcpy(&head, file_.data() + place.at, sizeof head);
    const std::size_t end = place.at + place.bytes;
    if (random_.one_in(2) && place.bytes > sizeof head) {
      const std::size_t less = 1 + random_.below(std::min<std::size_t>(place.bytes - sizeof head, 64));
      erase({end - less, less});
      head.body_bytes = static_cast<std::uint32_t>(place.bytes - sizeof head - less);
    } else {
      Bytes more(1 + random_.below(64));
      random_.fill(more);
      insert(end, more);
      head.body_bytes = static_cast<std::uint32_t>(place.bytes - sizeof head + more.size());
    }
    std::memcpy(file_.data() + place.at, &head, sizeof head);
  }

  // libFuzzer's own ideas for a body.
  void change_bytes(const Place& place) {
    Bytes body = copy_of(place);
    if (body.size() <= sizeof(wire::RecordHead)) return;
    const std::size_t old = body.size() - sizeof(wire::RecordHead);
    Bytes changed(old + 64);
    std::memcpy(changed.data(), body.data() + sizeof(wire::RecordHead), old);
    const std::size_t now = LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(changed.data()), old, changed.size());
    changed.resize(now);
    erase({place.at + sizeof(wire::RecordHead), old});
    insert(place.at + sizeof(wire::RecordHead), changed);
    const wire::le32 length(static_cast<std::uint32_t>(now));
    std::memcpy(file_.data() + place.at + offsetof(wire::RecordHead, body_bytes), &length, sizeof length);
  }

  Bytes& file_;
  std::size_t max_bytes_;
  Random random_;
  std::vector<Place> records_;
};

inline std::size_t mutate_container(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  Bytes file(reinterpret_cast<const std::byte*>(data), reinterpret_cast<const std::byte*>(data) + size);
  if (seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  Mutator(file, max_size, seed).run();
  std::memcpy(data, file.data(), file.size());
  return file.size();
}

}  // namespace snap::test
