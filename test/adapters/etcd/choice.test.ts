/** Which endpoint of etcd is asked, without any etcd. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Choice, inTurn } from "../../../src/adapters/etcd/choice.ts";

const roundTrips = (...each: [string, number | null][]) => new Map(each);

void test("each region begins with another of those that are alike, and has all of them", () => {
  const urls = ["a", "b", "c"];
  assert.deepEqual(
    [0, 1, 2, 3].map((index) => inTurn(urls, index).join("")),
    ["abc", "bca", "cab", "abc"],
  );
  assert.deepEqual(inTurn(["a"], 2), ["a"]);
  const choice = new Choice(inTurn(urls, 1));
  choice.measured(roundTrips(["a", 0.1], ["b", 1.2], ["c", 0.1]));
  assert.equal(choice.url, "b");
});

void test("until they are measured the first that was given is asked", () => {
  const choice = new Choice(["a", "b"]);
  assert.equal(choice.url, "a");
  assert.deepEqual(choice.better, []);
  assert.deepEqual(choice.unmeasured, ["a", "b"]);
  assert.equal(choice.wayMs("b"), 0);
});

void test("the nearest is asked, of neighbours the first that was given; who is farther has longer to answer", () => {
  const choice = new Choice(["far", "near", "beside"]);
  choice.measured(roundTrips(["far", 83], ["near", 3.2], ["beside", 0.4]));
  assert.equal(choice.url, "far");
  assert.deepEqual(choice.better, ["near", "beside"]);
  assert.equal(choice.wayMs("far"), 80);
  choice.use("beside");
  assert.deepEqual(choice.better, ["near"]);
  assert.equal(choice.isBetterThan("far"), true);
  assert.equal(choice.isBetterThan("near"), false);
});

void test("of what is measured the quickest counts: a machine that is busy makes nobody far", () => {
  const choice = new Choice(["own", "other"]);
  choice.measured(roundTrips(["own", 28], ["other", 4]));
  assert.deepEqual(choice.better, ["other"]);
  choice.use("other");
  choice.measured(roundTrips(["own", 0.3], ["other", 31]));
  assert.deepEqual(choice.better, ["own"]);
  choice.measured(roundTrips(["own", null]));
  assert.deepEqual(choice.better, ["own"]);
});

void test("who could not be measured is the farthest, gets no longer for it, and is measured again", () => {
  const choice = new Choice(["down", "far"]);
  choice.measured(roundTrips(["down", null], ["far", 83]));
  assert.deepEqual(choice.unmeasured, ["down"]);
  assert.deepEqual(choice.better, ["far"]);
  assert.equal(choice.wayMs("down"), 0);
  choice.use("far");
  choice.measured(roundTrips(["down", 1]));
  assert.deepEqual(choice.unmeasured, []);
  assert.equal(choice.url, "far");
  assert.deepEqual(choice.better, ["down"]);
});

void test("who falls silent is left for the nearest that is not; when all are, for the one that was left first", () => {
  const choice = new Choice(["a", "b", "c"]);
  choice.measured(roundTrips(["a", 0], ["b", 40], ["c", 80]));
  choice.leave("a", 1);
  assert.equal(choice.url, "b");
  choice.leave("c", 2);
  assert.equal(choice.url, "b", "the one in use stays when another is left");
  choice.leave("b", 3);
  assert.equal(choice.url, "a");
  choice.leave("a", 4);
  assert.equal(choice.url, "c");
  assert.equal(choice.silentSince("a"), 4);
  choice.answered("b");
  assert.deepEqual([...choice.silent].sort(), ["a", "c"]);
  choice.leave("c", 5);
  assert.equal(choice.url, "b");
});

void test("one that is silent is better than nobody", () => {
  const choice = new Choice(["near", "far"]);
  choice.measured(roundTrips(["near", 0], ["far", 80]));
  choice.leave("near", 1);
  choice.use("near");
  assert.equal(choice.isBetterThan("far"), false);
  choice.answered("near");
  assert.equal(choice.isBetterThan("far"), true);
});
