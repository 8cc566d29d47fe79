/**
 * The addresses of the pages. The watch page is in the first bundle: it is why people come.
 */
import { createRouter, createWebHistory } from 'vue-router'

import HomePage from './home/HomePage.vue'
import WatchPage from './watch/WatchPage.vue'

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', name: 'home', component: HomePage },
    {
      path: '/watch/:room',
      name: 'watch',
      component: WatchPage,
      props: (route) => ({ room: String(route.params['room']), token: String(route.query['token'] ?? ''), order: String(route.query['order'] ?? '') }),
    },
    { path: '/studio', name: 'rooms', component: () => import('./studio/RoomsPage.vue') },
    { path: '/studio/:room', name: 'studio', component: () => import('./studio/StudioPage.vue'), props: true },
    { path: '/admin', name: 'admin', component: () => import('./admin/AdminPage.vue') },
    { path: '/:rest(.*)*', name: 'missing', component: () => import('./home/MissingPage.vue') },
  ],
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
})
