/** The routes of the API: the one table that the server serves and `/v1/openapi.json` describes. */
import { z } from "zod";
import { levelBodySchema, peerQuestionSchema, requestBodySchema, sealNoticeSchema } from "./schema.ts";

export interface Route {
  readonly method: "get" | "post" | "put";
  /** As Hono writes it: `/v1/requests/:id`. */
  readonly path: string;
  readonly summary: string;
  /** Whether a bearer token is asked for. */
  readonly guarded: boolean;
  readonly takes: z.ZodType | null;
  readonly answers: Readonly<Record<number, string>>;
  readonly contentType: string;
}

const json = "application/json";
const noProblem = { takes: null, contentType: json } as const;

export const routes = {
  live: {
    method: "get",
    path: "/livez",
    summary: "Whether its loop turns",
    guarded: false,
    ...noProblem,
    answers: { 200: "it does" },
  },
  ready: {
    method: "get",
    path: "/readyz",
    summary: "Whether it can take part in decisions",
    guarded: false,
    ...noProblem,
    answers: { 200: "it can", 503: "it cannot, and why" },
  },
  metrics: {
    method: "get",
    path: "/metrics",
    summary: "Figures for Prometheus",
    guarded: false,
    takes: null,
    contentType: "text/plain",
    answers: { 200: "text format 0.0.4" },
  },
  status: {
    method: "get",
    path: "/v1/status",
    summary: "The whole, as this agent sees it",
    guarded: true,
    ...noProblem,
    answers: { 200: "a StatusView" },
  },
  routers: {
    method: "get",
    path: "/v1/routers",
    summary: "The data planes of this region: what they go by, and what they can do",
    guarded: true,
    ...noProblem,
    answers: { 200: "a RoutersView" },
  },
  submit: {
    method: "post",
    path: "/v1/requests",
    summary: "Ask for a switchover, a failback, an approval, a mode, a copy made anew",
    guarded: true,
    takes: requestBodySchema,
    contentType: json,
    answers: {
      200: "the same Idempotency-Key was here before: what came of it",
      202: "taken up; see Location",
      409: "refused: a rule or an epoch is against it",
      422: "not a request",
    },
  },
  request: {
    method: "get",
    path: "/v1/requests/:id",
    summary: "What came of a request",
    guarded: true,
    ...noProblem,
    answers: { 200: "a RequestRecord", 404: "none with this id" },
  },
  level: {
    method: "put",
    path: "/v1/levels/:id",
    summary: "Order a degradation level for a service",
    guarded: true,
    takes: levelBodySchema,
    contentType: json,
    answers: {
      200: "a LevelRecord: the order, and those before it",
      422: "no such service, no such level, or not an order",
      503: "the control store did not take it",
    },
  },
  incidents: {
    method: "get",
    path: "/v1/incidents",
    summary: "All incidents, the newest first",
    guarded: true,
    ...noProblem,
    answers: { 200: "a list" },
  },
  incident: {
    method: "get",
    path: "/v1/incidents/:id",
    summary: "One incident with its evidence",
    guarded: true,
    ...noProblem,
    answers: { 200: "the incident", 404: "none with this id" },
  },
  peer: {
    method: "post",
    path: "/v1/peer",
    summary: "Another region's agent asks for a promise (L6)",
    guarded: true,
    takes: peerQuestionSchema,
    contentType: json,
    answers: { 200: "a PeerAnswer", 422: "not a question" },
  },
  seal: {
    method: "post",
    path: "/v1/peer/seal",
    summary: "Another region's agent says that its member is sealed",
    guarded: true,
    takes: sealNoticeSchema,
    contentType: json,
    answers: { 204: "taken", 422: "not a notice" },
  },
  events: {
    method: "get",
    path: "/v1/events",
    summary: "What happens, as server-sent events",
    guarded: true,
    takes: null,
    contentType: "text/event-stream",
    answers: { 200: "a stream; Last-Event-ID goes on after that one", 503: "too many listeners" },
  },
  openapi: {
    method: "get",
    path: "/v1/openapi.json",
    summary: "This description",
    guarded: false,
    ...noProblem,
    answers: { 200: "OpenAPI 3.1" },
  },
} as const satisfies Readonly<Record<string, Route>>;

export type RouteName = keyof typeof routes;

export function openApi(): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const [operationId, route] of Object.entries(routes) as [string, Route][]) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    const parameters = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
      name,
      in: "path",
      required: true,
      schema: { type: "string" },
    }));
    const problems = route.guarded ? { 401: "no token, or a wrong one" } : {};
    const responses = Object.entries({ ...problems, ...route.answers }).map(([status, description]) => {
      const type = Number(status) < 400 ? route.contentType : "application/problem+json";
      return [status, { description, content: { [type]: {} } }];
    });
    paths[path] = {
      ...paths[path],
      [route.method]: {
        operationId,
        summary: route.summary,
        parameters,
        security: route.guarded ? [{ token: [] }] : [],
        ...(route.takes === null
          ? {}
          : {
              requestBody: {
                required: true,
                content: { [json]: { schema: z.toJSONSchema(route.takes, { io: "input" }) } },
              },
            }),
        responses: Object.fromEntries(responses),
      },
    };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Holdfast agent",
      version: "1",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
    paths,
  };
}
